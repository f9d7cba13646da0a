#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make_logits.py PROGRAM > logits.txt: the networks of nn_golden.c in PyTorch, from the same weights.

With a second argument, such a file: nothing is printed, and the numbers must be those of the file. PROGRAM is
build/tests/nn/nn_golden, which writes the weights as checkpoints. PyTorch computes in double, so that the numbers do not
depend on its version and its threads: in float a relu opens on one side only now and then, and a resnet goes another way
from there.
"""
import pathlib
import subprocess
import sys
import tempfile

import torch
from torch import nn

from networks import load, network_of, sizes

IMAGES, BATCH, STEPS = 48, 12, 20

def images(height, width, channels):
    count = IMAGES * height * width * channels
    bytes_ = [((i * 2654435761 & 0xFFFFFFFF) >> 21) & 255 for i in range(count)]
    x = (torch.tensor(bytes_, dtype=torch.float64) - 128) * 0.015625
    return x.reshape(IMAGES, height, width, channels).permute(0, 3, 1, 2).contiguous()


def numbers_of(path):
    """What nn_golden checks of one network."""
    tensors, metadata = load(path)
    height, width, channels, classes = sizes(metadata)
    model = network_of(tensors, metadata)
    x, labels = images(height, width, channels), torch.arange(IMAGES) % classes
    with torch.no_grad():
        training = model.train()(x[:BATCH]).flatten().tolist()
        evaluation = model.eval()(x[:BATCH]).flatten().tolist()
    model.train()
    sgd = torch.optim.SGD(model.parameters(), lr=0.00390625, momentum=0.9)
    losses = []
    for step in range(STEPS):
        rows = slice(step * BATCH % IMAGES, step * BATCH % IMAGES + BATCH)
        sgd.zero_grad()
        loss = nn.functional.cross_entropy(model(x[rows]), labels[rows])
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return {"training": training, "evaluation": evaluation, "losses": losses}


def main():
    lines = []
    with tempfile.TemporaryDirectory() as directory:
        names = subprocess.run([sys.argv[1], "write", directory], check=True, capture_output=True, text=True).stdout
        for name in names.split():
            lines.append([name])
            for what, numbers in numbers_of(pathlib.Path(directory) / f"{name}.safetensors").items():
                lines.append([what] + [f"{n:.9g}" for n in numbers])
    if len(sys.argv) < 3:
        print("\n".join(" ".join(line) for line in lines))
        return
    expected = [line.split() for line in open(sys.argv[2], encoding="ascii")]
    assert len(expected) == len(lines), "the file has other networks"
    for is_, was in zip(lines, expected):
        assert is_[0] == was[0] and len(is_) == len(was), f"{is_[0]} instead of {was[0]}"
        for a, b in zip(map(float, is_[1:]), map(float, was[1:])):
            assert abs(a - b) <= 1e-7 * (1 + abs(b)), f"{is_[0]}: {a} instead of {b}"
    print(f"torch {torch.__version__}: {len(lines)} lines are the same")


main()
