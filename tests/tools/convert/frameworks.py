# SPDX-License-Identifier: MIT
"""frameworks.py FOLDER COMMAND...: layers of other frameworks give in this library, after convert, what they gave there.

FOLDER has files that frameworks wrote, and what their layers gave (tests/golden/make_conventions.py). For frameworks of which
there is none, layers are made here, by the names and the formula of their documentation. Every state then goes through all
conventions, and must give the same bits. Files of Keras are left out where BATCHNORM_TEST_NO_KERAS is set.
"""
import array
import json
import os
import random
import struct
import subprocess
import sys

from tensors import make

CONVENTIONS = ["pytorch", "keras", "flax", "mxnet", "paddle", "onnx", "caffe", "darknet"]
command = sys.argv[2:]


def run(*words):
    done = subprocess.run(command + list(words), capture_output=True, text=True)
    if done.returncode:
        sys.exit("%s: %s" % (" ".join(words), done.stderr))
    return done.stdout


def write_npy(path, rows):
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (len(rows), len(rows[0]))
    head += b" " * (117 - len(head)) + b"\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head)
        f.write(b"".join(struct.pack("<f", v) for row in rows for v in row))


def apply(state, layer, x):
    with open(state, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    lacks = ["--no-affine"] if layer + ".weight" not in header else ["--no-bias"] if layer + ".bias" not in header else []
    write_npy("x.npy", x)
    run("apply", "--dims", "1", "--eval", *lacks, "--state", state, "--prefix", layer + ".", "x.npy", "-o", "y.npy")
    with open("y.npy", "rb") as f:
        whole = f.read()
    values = whole[10 + struct.unpack("<H", whole[8:10])[0]:]
    return list(struct.unpack("<%df" % (len(values) // 4), values))


def check(by, path, arguments, layer, x, y):
    run("convert", path, "-o", "state.safetensors", *arguments)
    got = apply("state.safetensors", layer, x)
    expected = [v for row in y for v in row]
    scale = max(map(abs, expected))
    worst = max(abs(a - b) for a, b in zip(got, expected))
    bound = 1e-5 if by.startswith("darknet 0") else 2e-6  # pjreddie's adds 1e-6 to the root in place of 1e-5 under it
    if len(got) != len(expected) or worst > bound * scale:
        sys.exit("%s, %s: differs by %g of %g" % (by, layer, worst, scale))
    through = 0
    for other in CONVENTIONS:
        words = ["convert", "state.safetensors", "-o", "other.safetensors", "--to", other]
        done = subprocess.run(command + words, capture_output=True, text=True)
        if other == "darknet" and "always 1e-05" in done.stderr:
            continue
        if done.returncode:
            sys.exit(done.stderr)
        run("convert", "other.safetensors", "-o", "back.safetensors")
        if apply("back.safetensors", layer, x) != got:
            sys.exit("%s, %s: not the same through %s" % (by, layer, other))
        through += 1
    print("%s: %s of %s, largest difference %.1e of %.2g, through %d conventions" %
          (by, layer, os.path.basename(path), worst, scale, through))


def by_formula():
    """As the documentation of each says: what y is, and what the arrays are called."""
    rng = random.Random(3)

    def row(least, most):
        return list(array.array("f", [rng.uniform(least, most) for _ in range(3)]))

    for by, eps, arguments in (("mxnet", 1e-3, ["--fix-gamma", "no"]), ("mxnet fix_gamma", 1e-3, ["--fix-gamma", "yes"]),
                               ("paddle", 1e-5, []), ("onnx", 1e-5, []), ("caffe", 1e-5, []), ("darknet", 1e-5, [])):
        x, gamma, beta, mean, var = [row(-2, 2) for _ in range(4)], row(-2, 2), row(-1, 1), row(-1, 1), row(0.01, 3)
        names = {"mxnet": ["b_gamma", "b_beta", "b_moving_mean", "b_moving_var"],
                 "paddle": ["b.weight", "b.bias", "b._mean", "b._variance"],
                 "onnx": ["b.scale", "b.B", "b.input_mean", "b.input_var"],
                 "caffe": ["b/scale/0", "b/scale/1", "b/0", "b/1"],
                 "darknet": ["b.scales", "b.biases", "b.rolling_mean", "b.rolling_variance"]}[by.split()[0]]
        factor = 37.25 if by == "caffe" else 1  # Caffe keeps sums and divides by a factor
        words = ["%s=F32:3:%s" % (name, " ".join("%.9g" % v for v in values)) for name, values in
                 zip(names, (gamma, beta, [factor * m for m in mean], [factor * v for v in var]))]
        make("formula.safetensors", words + (["b/2=F32:1:%g" % factor] if by == "caffe" else []))
        used = [1, 1, 1] if "fix_gamma" in by else gamma
        y = [[(v - m) / (s + eps) ** 0.5 * g + b for v, m, s, g, b in zip(r, mean, var, used, beta)] for r in x]
        check(by + ", by its formula", "formula.safetensors", ["--eps", "%g" % eps] + arguments, "b", x, y)


count = 0
with open(os.path.join(sys.argv[1], "conventions.json")) as f:
    for case in json.load(f):
        if "keras" in case["by"] and os.environ.get("BATCHNORM_TEST_NO_KERAS"):
            continue
        check(case["by"], os.path.join(sys.argv[1], case["file"]), case["arguments"], case["layer"], case["x"], case["y"])
        count += 1
by_formula()
if count < (5 if os.environ.get("BATCHNORM_TEST_NO_KERAS") else 18):
    sys.exit("only %d cases" % count)
