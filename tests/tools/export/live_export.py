#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""live_export.py COMMAND: `batchnorm export` of networks of every kind, in ONNX Runtime, beside what `batchnorm predict` says.

The logits are those of predict as far as its probabilities have digits, for one image and for many; with --fold they stay what
they were.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from pictures import CLASSES, make_images  # noqa: E402

LIBRARY = pathlib.Path(onnxruntime.__file__).parent / "capi"
CASES = [
    (1, 10, 9, "mlp", ""),
    (3, 10, 9, "mlp", "--norm after --activation tanh"),
    (3, 10, 9, "cnn", ""),
    (1, 11, 13, "cnn", "--norm none --lr 0.01 --activation leaky_relu"),
    (3, 4, 5, "cnn", "--activation clipped_relu --memory less"),
    (1, 10, 9, "cnn", "--activation hardswish --frozen"),
    (3, 10, 9, "resnet", ""),
    (1, 2, 3, "resnet", "--activation silu"),
    (3, 7, 5, "resnet", "--depth 14 --norm after --activation sigmoid"),
    (1, 10, 9, "resnet", "--depth 8 --norm none --lr 0.01"),
]


def run(*arguments):
    return subprocess.run(list(map(str, arguments)), check=True, capture_output=True, text=True).stdout


def tensors_of(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def logits_of(model, images):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["images"] and [o.name for o in session.get_outputs()] == ["logits"]
    return session.run(None, {"images": images})[0].astype(np.float64)


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def check(command, directory, case):
    channels, height, width, kind, options = case
    made = make_images(directory / "images", height, width, channels)
    saved, plain, folded = (directory / name for name in ("network", "net.onnx", "folded.onnx"))
    run(command, "train", "--data", directory / "images", "--model", kind, *options.split(), "--epochs", 3, "--batch", 8,
        "--save", saved)
    said = json.loads(run(command, "export", saved, "-o", plain, "--json"))
    told = json.loads(run(command, "export", saved, "-o", folded, "--fold", "--json"))
    model, small = onnx.load(plain), onnx.load(folded)
    onnx.checker.check_model(model, full_check=True)
    onnx.checker.check_model(small, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    norms = [n for n in model.graph.node if n.op_type == "BatchNormalization"]
    assert said["batch_norms"] == said["left"] == len(norms) and said["bytes"] == plain.stat().st_size, said
    left = [n.name for n in small.graph.node if n.op_type == "BatchNormalization"]
    assert told["batch_norms"] == len(norms) and told["left"] == len(left), told
    assert not left or "--norm after" in options, left
    for norm in norms:
        attributes = {a.name: a.f for a in norm.attribute}
        assert np.isclose(attributes["epsilon"], 1e-5) and np.isclose(attributes["momentum"], 0.9), attributes

    # the names of the checkpoint, and its shapes
    header = tensors_of(saved)
    state = {
        name: tensor["shape"]
        for name, tensor in header.items()
        if not name.startswith(("trainer.", "__")) and not name.endswith("num_batches_tracked")
    }
    own = {t.name: list(t.dims) for t in model.graph.initializer if t.dims}
    assert own == state, f"{own} and {state}"
    metadata = {p.key: p.value for p in model.metadata_props}
    assert metadata["classes"].split("\n") == CLASSES, metadata
    mean, std = (np.array(metadata[key].split(), dtype=np.float64) for key in ("mean", "std"))

    paths = list(made)[::7]
    pixels = np.array([made[path][0] for path in paths], dtype=np.float64).reshape(len(paths), height, width, channels)
    images = ((pixels / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    logits = logits_of(model, images)
    assert np.allclose(logits_of(model, images[:1]), logits[:1], rtol=1e-5, atol=1e-5)
    same = logits_of(small, images)
    assert np.allclose(same, logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max()), np.abs(same - logits).max()
    if norms:
        # recalibrate takes mean and std of the pixels from the model
        look = [command, "recalibrate", plain, "--runtime", LIBRARY, "--data", directory / "images", "--check", "--json"]
        by_hand = ["--mean", ",".join(metadata["mean"].split()), "--std", ",".join(metadata["std"].split())]
        own, given = json.loads(run(*look)), json.loads(run(*look, *by_hand))
        assert own["mean_from"] == own["std_from"] == "metadata" and given["mean_from"] == given["std_from"] == "option", own
        assert np.array_equal(own["std"], std) and own["batch_norms"] == given["batch_norms"], own
    lines = run(command, "predict", "--checkpoint", saved, "--json", "--top", 256, *paths).splitlines()
    for line, own in zip(lines, softmax(logits), strict=True):
        entries = {entry["class"]: entry["probability"] for entry in json.loads(line)["classes"]}
        assert np.allclose([entries[name] for name in CLASSES], own, atol=1e-5), f"{line}, and in ONNX Runtime {own}"
    return f"{len(norms)} batch norms, {len(left)} left, {len(paths)} images"


def main():
    for case in CASES:
        with tempfile.TemporaryDirectory() as directory:
            print(*case, check(sys.argv[1], pathlib.Path(directory), case))


main()
