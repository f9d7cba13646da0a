# SPDX-License-Identifier: MIT
# States that the cases of inspect and fold read; sourced after cases.sh.

# make_state [eps] [type=F16] [NAME=NUMBERS...]: state.safetensors, a layer a.0 and its batch norm a.1, with eps 0.25 in the
# metadata, floats of that type, and other numbers.
make_state() {
    needs_safetensors
    needs python3
    python3 - "$@" <<'P'
import json, struct, sys
tensors = {"a.0.weight": ([2, 1], [1, 2]), "a.1.weight": ([2], [3, 4]), "a.1.bias": ([2], [5, 6]),
           "a.1.running_mean": ([2], [0, 1]), "a.1.running_var": ([2], [0.75, 3.75]),
           "a.1.num_batches_tracked": ([], [7]), "other": ([1], [9])}
floats = "F32"
header, data = {}, b""
for argument in sys.argv[1:]:
    name, _, value = argument.partition("=")
    if name == "eps":
        header["__metadata__"] = {"batchnorm.eps": "0.25"}
    elif name == "type":
        floats = value
    else:
        tensors[name] = (tensors[name][0], [float(v) for v in value.split()])
for name, (shape, values) in tensors.items():
    dtype = "I64" if "tracked" in name else floats
    new = struct.pack("<%d%s" % (len(values), {"F32": "f", "F16": "e", "I64": "q"}[dtype]), *values)
    header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(new)]}
    data += new
text = json.dumps(header).encode()
open("state.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
P
}
