#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""live_predict.py COMMAND: what `batchnorm predict` says of images, beside the same network in PyTorch.

Networks are trained on folders of made-up PNG files and saved; PyTorch loads the checkpoints strictly and computes in double.
"""
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zlib

import torch

sys.path.append(str(pathlib.Path(__file__).parents[2] / "golden"))
from networks import load, network_of  # noqa: E402

CLASSES, EACH, EPOCHS, BATCH = ["circle", "kr\u00e4he", 'quo"te'], 30, 3, 8
CASES = [
    (1, "mlp", "--norm after --activation tanh"),
    (3, "cnn", "--optimizer adamw --weight-decay 0.1"),
    (3, "cnn", "--norm none --lr 0.01"),
    (1, "resnet", "--flip --shift 1 --schedule cosine"),
    (3, "resnet", "--depth 14 --norm after --activation sigmoid"),
]


def png(height, width, channels, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def make_images(directory, height, width, channels):
    """One folder a class, each with a pattern of its own under noise; the pixels by path."""
    draw, pixels = random.Random(channels), {}
    for label, name in enumerate(CLASSES):
        (directory / name).mkdir(parents=True)
        for i in range(EACH):
            values = [
                min(255, (90 * label + 13 * k * (label + 1)) % 200 + draw.randrange(56))
                for k in range(height * width * channels)
            ]
            path = directory / name / f"{i:02}.png"
            line = width * channels
            path.write_bytes(png(height, width, channels, [bytes(values[r * line : r * line + line]) for r in range(height)]))
            pixels[str(path)] = torch.tensor(values, dtype=torch.float64).reshape(height, width, channels), label
    return pixels


def run(*arguments):
    return subprocess.run(list(map(str, arguments)), check=True, capture_output=True, text=True).stdout


def normalized(images, metadata):
    channels = images.shape[-1]
    mean, rstd = ([float(metadata[f"{what}.{c}"]) for c in range(channels)] for what in ("mean", "rstd"))
    return ((images - torch.tensor(mean, dtype=torch.float64)) * torch.tensor(rstd, dtype=torch.float64)).permute(0, 3, 1, 2)


def near(is_, was, what):
    assert abs(is_ - was) <= 1e-5 * (1 + abs(was)), f"{what}: {is_}, and in PyTorch {was}"


def check(command, directory, case):
    channels, model, options = case
    pixels = make_images(directory / "images", 10, 9, channels)
    saved, data = directory / "network", directory / "images"
    sizes = ["--epochs", EPOCHS, "--batch", BATCH]
    run(command, "train", "--data", data, "--model", model, *options.split(), *sizes, "--save", saved)
    tensors, metadata = load(saved)
    network = network_of(tensors, metadata).eval()
    assert [metadata[f"class.{i}"] for i in range(len(CLASSES))] == CLASSES
    steps = EPOCHS * -(-len(CLASSES) * (EACH - EACH // 6) // BATCH)
    tracked = [int(t) for name, t in tensors.items() if name.endswith("num_batches_tracked")]
    assert tracked == [steps] * len(tracked) and (tracked or "none" in options), f"{tracked} batches tracked in {steps} steps"

    paths = list(pixels)
    seen = torch.stack([pixels[path][0] for path in paths if int(path[-6:-4]) % 6 != 5]).flatten(0, 2)
    for c, (mean, std) in enumerate(zip(seen.mean(0).tolist(), seen.std(0, correction=0).tolist())):
        near(float(metadata[f"mean.{c}"]), mean, "mean")
        near(float(metadata[f"rstd.{c}"]) * std, 1, "rstd times standard deviation")

    with torch.no_grad():
        logits = network(normalized(torch.stack([pixels[path][0] for path in paths]), metadata))
    for line, own in zip(run(command, "predict", "--checkpoint", saved, "--json", "--top", 256, *paths).splitlines(), logits):
        said = json.loads(line)
        probabilities = {entry["class"]: entry["probability"] for entry in said["classes"]}
        assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
        for name, p in zip(CLASSES, own.softmax(0).tolist()):
            near(probabilities[name], p, f"{said['image']}, {name}")

    tested = [i for i, path in enumerate(paths) if int(path[-6:-4]) % 6 == 5]
    labels = torch.tensor([pixels[paths[i]][1] for i in tested])
    said = json.loads(run(command, "predict", "--checkpoint", saved, "--json", "--data", data))
    assert said["images"] == len(tested)
    near(said["loss"], torch.nn.functional.cross_entropy(logits[tested], labels).item(), "loss")
    near(said["accuracy"], round((logits[tested].argmax(1) == labels).double().mean().item(), 4), "accuracy")
    return said["accuracy"]


def main():
    for case in CASES:
        with tempfile.TemporaryDirectory() as directory:
            print(*case, "accuracy", check(sys.argv[1], pathlib.Path(directory), case))


main()
