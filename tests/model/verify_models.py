#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `fold --verify` says and exits with: verify_models.py COMMAND.

Models of every type of input; outputs of floats, integers and truth values that stay, and that do not, because a model takes
the difference of numbers that are nearly equal; inputs that do not fit; models that ONNX Runtime does not load; and where the
library is looked for. Needs onnx, onnxruntime and numpy."""
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

library = os.path.join(os.path.dirname(onnxruntime.__file__), "capi")


def model(path, nodes, tensors, inputs, outputs):
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info(*i) for i in inputs],
                         [h.make_tensor_value_info(*o) for o in outputs],
                         [numpy_helper.from_array(np.asarray(a), n) for n, a in tensors.items()])
    made = h.make_model(graph, opset_imports=[h.make_opsetid("", 14)])
    made.ir_version = 8
    onnx.save(made, path)


def conv(dtype=np.float32, k=1.0):
    """x -> Conv -> BatchNormalization -> b, of two channels."""
    nodes = [h.make_node("Conv", ["x", "w"], ["a"]), h.make_node("BatchNormalization", ["a", "s", "z", "z", "v"], ["b"])]
    tensors = {"w": np.ones((2, 1, 1, 1), dtype), "s": np.full(2, k, dtype), "z": np.zeros(2, dtype), "v": np.ones(2, dtype)}
    return nodes, tensors


def fold(command, path, *options, code=0, search=library):
    environment = {n: v for n, v in os.environ.items() if n not in ("VIRTUAL_ENV", "LD_LIBRARY_PATH")}
    environment.update(LD_LIBRARY_PATH=search, HOME="/nowhere")
    arguments = [command, "fold", path, "-o", f"{path}.out.onnx", "--verify", *options]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment)
    assert done.returncode == code, (options, done)
    assert (done.stderr != "") == (code != 0), done
    told = subprocess.run([*arguments, "--json"], capture_output=True, text=True, env=environment)
    assert told.returncode == code, told
    return done.stdout, done.stderr, json.loads(told.stdout)


def check_types(command, folder):
    path = f"{folder}/types.onnx"
    for kind, dtype in ((T.FLOAT, np.float32), (T.FLOAT16, np.float16)):
        nodes, tensors = conv(dtype, 1.5)
        model(path, nodes, tensors, [("x", kind, [1, 1, 4, 4])], [("b", kind, None)])
        said, _, told = fold(command, path)
        assert f"verified with ONNX Runtime {onnxruntime.__version__}: " in said and told["verified"] is True, said
        assert told["max_abs_difference"] <= told["allowed_abs_difference"], told
    # an input of every other type goes through a Cast
    for kind in (T.DOUBLE, T.INT64, T.INT32, T.INT16, T.INT8, T.UINT8, T.UINT16, T.UINT32, T.UINT64, T.BOOL):
        nodes, tensors = conv()
        cast = h.make_node("Cast", ["i"], ["x"], to=T.FLOAT)
        model(path, [cast] + nodes, tensors, [("i", kind, [1, 1, 4, 4])], [("b", T.FLOAT, None), ("i", kind, [1, 1, 4, 4])])
        said, _, told = fold(command, path)
        assert told["verified"] is True, (kind, said, told)
    # outputs of integers and truth values, whose numbers are on the edge
    for kind in (T.INT64, T.INT32, T.UINT8, T.BOOL):
        nodes, tensors = conv(k=0.1)
        tensors["c"] = np.float32(10)
        tail = [h.make_node("Mul", ["b", "c"], ["d"]), h.make_node("Cast", ["d"], ["y"], to=kind)]
        model(path, nodes + tail, tensors, [("x", T.FLOAT, [1, 1, 2, 2])], [("y", kind, None)])
        np.save(f"{folder}/x.npy", np.zeros((1, 1, 2, 2), np.float32))
        said, _, told = fold(command, path, "--input", f"x={folder}/x.npy")
        assert told["verified"] is True and "outputs are the same integers" in said, (kind, said)


def check_differences(command, folder):
    """b - k x is rounding errors and nothing else: they are others in the folded model."""
    path = f"{folder}/other.onnx"
    x = (1e6 + 1e5 * np.random.default_rng(1).random((1, 1, 16, 16))).astype(np.float32)
    np.save(f"{folder}/x.npy", x)
    nodes, tensors = conv(k=0.3)
    tensors["w"] = np.full((2, 1, 1, 1), 0.7, np.float32)
    tensors["k"] = np.float32(0.7 * 0.3 / np.sqrt(1 + 1e-5))
    tail = [h.make_node("Mul", ["x", "k"], ["c"]), h.make_node("Sub", ["b", "c"], ["y"])]
    given = ("--input", f"x={folder}/x.npy")
    shape = [("x", T.FLOAT, list(x.shape))]
    model(path, nodes + tail, tensors, shape, [("y", T.FLOAT, None)])
    said, wrong, told = fold(command, path, *given, code=1)
    assert said.endswith("\nnot verified\n") and 'output "y" differs by ' in wrong, (said, wrong)
    assert told["verified"] is False and told["max_abs_difference"] > told["allowed_abs_difference"], told
    for kind in (T.INT32, T.BOOL):
        more = [h.make_node("Mul", ["y", "m"], ["f"]), h.make_node("Cast", ["f"], ["i"], to=kind)]
        model(path, nodes + tail + more, {**tensors, "m": np.float32(1000)}, shape, [("i", kind, None)])
        said, wrong, told = fold(command, path, *given, code=1)
        assert told["verified"] is False and 'integers are others in output "i"' in told["not_verified"], told
    # finite before, and not after
    more = [h.make_node("Log", ["y"], ["f"]), h.make_node("Mul", ["f", "zero"], ["n"])]
    model(path, nodes + tail + more, {**tensors, "zero": np.float32(0)}, shape, [("n", T.FLOAT, None)])
    said, wrong, told = fold(command, path, *given, code=1)
    assert "numbers are finite before, and not after" in told["not_verified"], told


def check_inputs(command, folder):
    path = f"{folder}/inputs.onnx"
    nodes, tensors = conv()
    model(path, nodes, tensors, [("x", T.FLOAT, [1, 1, "h", "w"])], [("b", T.FLOAT, None)])
    for name, array in (("good", np.ones((1, 1, 3, 5), np.float32)), ("rank", np.ones((1, 3, 5), np.float32)),
                        ("size", np.ones((1, 2, 3, 5), np.float32)), ("integers", np.ones((1, 1, 3, 5), np.int64))):
        np.save(f"{folder}/{name}.npy", array)
    assert fold(command, path, "--input", f"x={folder}/good.npy")[2]["verified"] is True
    assert fold(command, path, "--input", f"x={folder}/integers.npy")[2]["verified"] is True
    for given, words in ((f"x={folder}/rank.npy", "another number of dimensions"), (f"x={folder}/size.npy", "other sizes"),
                         (f"x={folder}/missing.npy", "missing.npy"), (f"z={folder}/good.npy", "no such input")):
        _, wrong, told = fold(command, path, "--input", given, code=1)
        assert words in wrong and told["verified"] is None and words in told["not_verified"], (given, wrong, told)
    assert onnx.load(f"{path}.out.onnx").graph.node[0].op_type == "Conv"
    nodes, tensors = conv()
    cast = h.make_node("Cast", ["i"], ["x"], to=T.FLOAT)
    model(path, [cast] + nodes, tensors, [("i", T.INT8, [1, 1, 1, 1])], [("b", T.FLOAT, None)])
    for value, code in ((127, 0), (128, 1), (0.5, 1)):
        np.save(f"{folder}/i.npy", np.full((1, 1, 1, 1), value, np.float64))
        assert fold(command, path, "--input", f"i={folder}/i.npy", code=code)[2]["verified"] is (None if code else True)


def check_what_is_not_run(command, folder):
    path = f"{folder}/odd.onnx"
    nodes, tensors = conv()
    model(path, nodes + [h.make_node("Odd", ["b"], ["y"])], tensors, [("x", T.FLOAT, [1, 1, 2, 2])], [("y", T.FLOAT, None)])
    said, _, told = fold(command, path)
    assert "\nnot verified: " in said and told["verified"] is None and "Odd" in told["not_verified"], (said, told)
    nodes, tensors = conv()
    model(path, nodes, tensors, [("x", T.FLOAT, [1, 1, 2, 2])], [("b", T.FLOAT, None)])
    said, _, told = fold(command, path, search="/nowhere")
    assert told["verified"] is None and "ONNX Runtime was not found" in told["not_verified"], told
    assert fold(command, path, search=f"/nowhere::{library}")[2]["verified"] is True


def main(command):
    assert glob.glob(f"{library}/libonnxruntime.so*"), library
    with tempfile.TemporaryDirectory() as folder:
        nodes, tensors = conv()
        model(f"{folder}/first.onnx", nodes, tensors, [("x", T.FLOAT, [1, 1, 2, 2])], [("b", T.FLOAT, None)])
        if "was not found" in fold(command, f"{folder}/first.onnx")[0]:
            print("skipped: the command is of another kind than ONNX Runtime of this Python")
            return 77
        check_types(command, folder)
        check_differences(command, folder)
        check_inputs(command, folder)
        check_what_is_not_run(command, folder)
    print(f"ONNX Runtime {onnxruntime.__version__}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: verify_models.py COMMAND")
    sys.exit(main(sys.argv[1]))
