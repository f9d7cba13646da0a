#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""live_predict.py COMMAND: what `batchnorm predict` says of images, beside the same network in PyTorch.

Networks are trained on folders of made-up PNG files and saved; PyTorch loads the checkpoints strictly and computes in double.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch

sys.path += [str(pathlib.Path(__file__).parents[2] / "golden"), str(pathlib.Path(__file__).parents[1])]
from networks import load, network_of  # noqa: E402
from pictures import CLASSES, EACH, make_images  # noqa: E402

HEIGHT, WIDTH, EPOCHS, BATCH = 10, 9, 3, 8
CASES = [
    (1, "mlp", "--norm after --activation tanh"),
    (3, "cnn", "--optimizer adamw --weight-decay 0.1"),
    (3, "cnn", "--norm none --lr 0.01"),
    (1, "resnet", "--flip --shift 1 --schedule cosine"),
    (3, "resnet", "--depth 14 --norm after --activation sigmoid"),
]


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
    shape = HEIGHT, WIDTH, channels
    pixels = {
        path: (torch.tensor(values, dtype=torch.float64).reshape(shape), label)
        for path, (values, label) in make_images(directory / "images", *shape).items()
    }
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
