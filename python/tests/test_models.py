# SPDX-License-Identifier: MIT
"""inspect and fold say what the command says."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

import batchnorm


def state(rng, **changes):
    arrays = {
        "bn.weight": rng.random(4, np.float32) + 0.5,
        "bn.bias": rng.random(4, np.float32),
        "bn.running_mean": rng.random(4, np.float32),
        "bn.running_var": rng.random(4, np.float32) + 0.5,
        "bn.num_batches_tracked": np.int64(7),
        "conv.weight": rng.random((4, 3, 2, 2), np.float32),
    }
    return {**arrays, **changes}


def write_safetensors(path, arrays, metadata=None):
    names = {
        "float32": "F32",
        "float64": "F64",
        "float16": "F16",
        "bfloat16": "BF16",
        "int64": "I64",
        "uint8": "U8",
    }
    header, at = {} if metadata is None else {"__metadata__": metadata}, 0
    for name, array in arrays.items():
        array = np.asarray(array)
        header[name] = {
            "dtype": names[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(
        len(text).to_bytes(8, "little")
        + text
        + b"".join(np.asarray(a).tobytes() for a in arrays.values())
    )


def test_a_state(rng):
    said = batchnorm.inspect(state(rng))
    assert (
        said["format"],
        said["count"],
        said["channels"],
        said["unhealthy"],
        said["foldable"],
    ) == ("state", 1, 4, 0, 0)
    norm = said["batch_norms"][0]
    assert (
        norm["name"] == "bn"
        and norm["num_batches_tracked"] == 7
        and norm["healthy"]
        and norm["eps"] is None
    )
    for name, array, illness in (
        ("bn.running_var", [1, 0, 1, 2], "var_zero"),
        ("bn.running_var", [1, -1, 1, 2], "var_negative"),
        ("bn.running_mean", [1, np.nan, 1, 2], "not_finite"),
        ("bn.weight", [1, 1e-4, 1, 2], "weight_small"),
    ):
        norm = batchnorm.inspect(state(rng, **{name: np.array(array, np.float32)}))["batch_norms"][
            0
        ]
        assert norm[illness] == 1 and not norm["healthy"], illness
    assert batchnorm.inspect(state(rng), eps=1.0)["batch_norms"][0]["var_below_eps"] > 0
    assert not batchnorm.inspect(state(rng, **{"bn.num_batches_tracked": np.int64(0)}))[
        "batch_norms"
    ][0]["healthy"]
    tensors = batchnorm.inspect(state(rng), tensors=True)["tensors"]
    assert tensors[-1] == {
        "name": "conv.weight",
        "type": "FLOAT",
        "shape": [4, 3, 2, 2],
        "external": False,
    }
    with pytest.raises(ValueError):
        batchnorm.inspect(state(rng), eps=-1)
    with pytest.raises(TypeError):
        batchnorm.inspect({"bn.weight": "x"})


def test_safetensors(tmp_path, rng):
    path = tmp_path / "state.safetensors"
    arrays = state(rng, odd=np.zeros(3, np.uint8))
    write_safetensors(path, arrays, {"batchnorm.eps": "0.25"})
    said = batchnorm.inspect(path)
    assert said["format"] == "safetensors" and said["file"] == str(path)
    assert said["batch_norms"][0]["eps"] == 0.25 and said["batch_norms"][0]["channels"] == 4
    half = {
        name: np.asarray(a).astype(np.float16) if np.asarray(a).dtype.kind == "f" else a
        for name, a in arrays.items()
    }
    write_safetensors(path, half)
    assert batchnorm.inspect(path)["batch_norms"][0]["var_zero"] == 0
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError):
        batchnorm.inspect(path)


def test_a_checkpoint(tmp_path, rng):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    network(torch.randn(2, 3, 8, 8))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    said = batchnorm.inspect(tmp_path / "net.pth")
    assert said["format"] == "PyTorch" and said["batch_norms"][0]["name"] == "1"
    assert said["batch_norms"][0]["num_batches_tracked"] == 1


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        batchnorm.inspect(tmp_path / "absent")
    (tmp_path / "text").write_text("text")
    with pytest.raises(ValueError, match=r"text: is neither an ONNX model"):
        batchnorm.inspect(str(tmp_path / "text"))
    with pytest.raises(IsADirectoryError):
        batchnorm.inspect(tmp_path)
    with pytest.raises(ValueError, match="text: is neither"):
        batchnorm.fold(tmp_path / "text", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def conv_and_norm(path, rng, relu=False):
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    arrays = {
        "w": rng.random((4, 3, 3, 3)),
        "s": rng.random(4),
        "b": rng.random(4),
        "m": rng.random(4),
        "v": rng.random(4) + 0.5,
    }
    tensors = [
        onnx.numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in arrays.items()
    ]
    nodes = [make.make_node("Conv", ["x", "w"], ["c"], name="conv")]
    if relu:
        nodes.append(make.make_node("Relu", ["c"], ["r"], name="relu"))
    nodes.append(
        make.make_node(
            "BatchNormalization", ["r" if relu else "c", "s", "b", "m", "v"], ["y"], name="bn"
        )
    )
    ends = [
        make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes)
        for name, sizes in (("x", [1, 3, 8, 8]), ("y", [1, 4, 6, 6]))
    ]
    graph = make.make_graph(nodes, "net", ends[:1], ends[1:], tensors)
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)


def test_fold(tmp_path, rng):
    path, to = tmp_path / "net.onnx", tmp_path / "folded.onnx"
    conv_and_norm(path, rng)
    norm = batchnorm.inspect(path)["batch_norms"][0]
    assert (
        norm["name"] == "bn"
        and norm["fold"] == "before"
        and norm["target"] == "conv"
        and norm["before"] == "Conv"
    )
    said = batchnorm.fold(path, to)
    assert (said["count"], said["left"], said["bytes"]) == (1, 0, to.stat().st_size)
    assert said["batch_norms"] == [{"name": "bn", "target": "conv", "fold": "before"}]
    assert batchnorm.inspect(to)["count"] == 0
    reference = pytest.importorskip("onnx.reference").ReferenceEvaluator
    x = rng.random((1, 3, 8, 8), np.float32)
    before, after = (reference(str(model)).run(None, {"x": x})[0] for model in (path, to))
    assert np.abs(before - after).max() < 1e-5
    conv_and_norm(path, rng, relu=True)
    assert batchnorm.fold(path, to)["left"] == 1
    assert batchnorm.fold(path, to, rewrite=True)["batch_norms"][0]["fold"] == "mul_add"
    with pytest.raises(OSError):
        batchnorm.fold(path, path)


def command():
    """The command of the same build, if it was built."""
    path = os.environ.get("BATCHNORM_COMMAND") or shutil.which("batchnorm")
    return path or pytest.skip("the command was not built")


def test_what_the_command_says(tmp_path, rng):
    path = tmp_path / "state.safetensors"
    write_safetensors(path, state(rng), {"batchnorm.eps": "1e-3"})
    paths = [path]
    for i, relu in enumerate((False, True)):
        paths.append(tmp_path / f"{i}.onnx")
        conv_and_norm(paths[-1], rng, relu)
    for path in paths:
        for arguments, options in (([], {}), (["--all"], {"tensors": True})):
            run = subprocess.run(
                [command(), "inspect", "--json", *arguments, path],
                check=True,
                capture_output=True,
                text=True,
            )
            said = batchnorm.inspect(path, **options)
            for norm in said.get("batch_norms", []):
                norm["eps"] = float(f"{norm['eps']:.9g}")  # as it is printed
            assert said == json.loads(run.stdout)
    for path in paths[1:]:
        to = tmp_path / "out.onnx"
        run = subprocess.run(
            [command(), "fold", "--json", path, "-o", to],
            check=True,
            capture_output=True,
            text=True,
        )
        folded = to.read_bytes()
        said = json.loads(run.stdout)
        assert {**batchnorm.fold(path, to)} == {
            name: said[name] for name in said if name != "verified"
        }
        assert to.read_bytes() == folded
