# SPDX-License-Identifier: MIT
"""Safetensors files as lines of text, for the cases of convert.

tensors.py make FILE [@KEY=VALUE...] [NAME=TYPE:SIZES:NUMBERS...]   writes one: "a.weight=F32:2,1:1 2"
tensors.py show FILE                                                prints the same words, a line each
"""
import json
import struct
import sys

CODES = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "U8": "B", "U64": "Q"}


def make(path, words):
    header, data = {}, b""
    for word in words:
        if word.startswith("@"):
            key, _, value = word[1:].partition("=")
            header.setdefault("__metadata__", {})[key] = value
            continue
        name, _, rest = word.rpartition("=")
        dtype, sizes, numbers = rest.split(":")
        kind = int if CODES[dtype] in "qiBQ" else float
        values = [kind(v) for v in numbers.split()]
        new = struct.pack("<%d%s" % (len(values), CODES[dtype]), *values)
        header[name] = {"dtype": dtype, "shape": [int(s) for s in sizes.split(",") if s],
                        "data_offsets": [len(data), len(data) + len(new)]}
        data += new
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def show(path):
    with open(path, "rb") as f:
        whole = f.read()
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:8 + size])
    for key, value in header.pop("__metadata__", {}).items():
        print("@%s=%s" % (key, value))
    for name, t in header.items():
        begin, end = t["data_offsets"]
        raw = whole[8 + size + begin:8 + size + end]
        values = struct.unpack("<%d%s" % (len(raw) // struct.calcsize(CODES[t["dtype"]]), CODES[t["dtype"]]), raw)
        print("%s=%s:%s:%s" % (name, t["dtype"], ",".join(map(str, t["shape"])), " ".join("%.9g" % v for v in values)))


if __name__ == "__main__":
    show(sys.argv[2]) if sys.argv[1] == "show" else make(sys.argv[2], sys.argv[3:])
