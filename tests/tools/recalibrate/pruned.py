#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example of docs/models.md on a small made-up data set: a network is trained, pruned by examples/prune.py, and mended:
pruned.py COMMAND PRUNE. Needs numpy. With onnxruntime the same network as an ONNX model must be off by the same."""
import importlib.util
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

random = np.random.default_rng(7)


def make_data(folder):
    """Ten classes: a bar at one of five places, upright or not, in noise."""
    for part, count in (("train", 1000), ("t10k", 300)):
        labels = np.arange(count) % 10
        images = random.integers(0, 120, (count, 28, 28))
        for image, label in zip(images, labels):
            at = slice(2 + 5 * (label % 5), 6 + 5 * (label % 5))
            image[(slice(None), at) if label < 5 else (at, slice(None))] += 90
        with open(f"{folder}/{part}-images-idx3-ubyte", "wb") as f:
            f.write(bytes([0, 0, 8, 3]) + np.array([count, 28, 28], ">i4").tobytes() + images.astype(np.uint8).tobytes())
        with open(f"{folder}/{part}-labels-idx1-ubyte", "wb") as f:
            f.write(bytes([0, 0, 8, 1]) + np.array([count], ">i4").tobytes() + labels.astype(np.uint8).tobytes())


def metadata(path):
    with open(path, "rb") as f:
        return json.loads(f.read(int.from_bytes(f.read(8), "little")))["__metadata__"]


def check_onnx(run, command, folder, told):
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None:
        print("not run: the same as an ONNX model; this Python has no onnxruntime")
        return
    run(command, "export", "pruned.safetensors", "-o", "pruned.onnx")
    of = metadata("pruned.safetensors")
    mean, std = float(of["mean.0"]) / 255, 1 / float(of["rstd.0"]) / 255
    again = json.loads(run(command, "recalibrate", "pruned.onnx", "--data", folder, "--mean", f"{mean:.9g}", "--std",
                           f"{std:.9g}", "-o", "mended.onnx", "--json", "--runtime", os.path.dirname(spec.origin)))
    for a, b in zip(told["batch_norms"], again["batch_norms"], strict=True):
        assert a["name"] == b["name"] and a["depth"] == b["depth"] and a["values"] == b["values"], (a, b)
        assert abs(a["shift"] - b["shift"]) < 1e-4 and abs(a["ratio"] - b["ratio"]) < 1e-4 * a["ratio"], (a, b)


def main(command, prune):
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_data(folder)
        run = lambda *arguments: subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
        test = lambda name: json.loads(run(command, "predict", "--checkpoint", name, "--data", folder, "--json"))["accuracy"]
        run(command, "train", "--model", "resnet", "--depth", "8", "--data", folder, "--epochs", "3", "--batch", "32",
            "--threads", "2", "--save", "net.safetensors")
        run(sys.executable, prune, "net.safetensors", "pruned.safetensors", "0.8")
        told = json.loads(run(command, "recalibrate", "pruned.safetensors", "--data", folder, "-o", "mended.safetensors",
                              "--svg", "drift.svg", "--json"))
        before, pruned, mended = map(test, ("net.safetensors", "pruned.safetensors", "mended.safetensors"))
        print(f"accuracy {before}, pruned {pruned}, mended {mended}")
        assert pruned < before - 0.2 and mended > pruned + 0.2, told
        check_onnx(run, command, folder, told)
        assert all(abs(n["shift_after"]) < 1e-5 and abs(n["ratio_after"] - 1) < 1e-5 for n in told["batch_norms"]), told


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: pruned.py COMMAND PRUNE")
    main(*sys.argv[1:])
