#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""make_logits.py PROGRAM > logits.txt: the networks of nn_golden.c in PyTorch, from the same weights.

With a second argument, such a file: nothing is printed, and the numbers must be those of the file (an older torch may differ by
roundings). PROGRAM is build/tests/nn_golden, which writes the weights as checkpoints.
"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import torch
from torch import nn

IMAGES, CLASSES, BATCH, STEPS = 48, 5, 12, 20
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def load(path):
    """The tensors and the metadata of a safetensors file."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__")
    types = {"F32": torch.float32, "I64": torch.int64}
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(data[8 + size + begin : 8 + size + end]), dtype=types[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata


class Base(nn.Module):
    """A norm before or after the activation, or none."""

    def __init__(self, metadata):
        super().__init__()
        self.norm = metadata["norm"]
        self.act = ACTIVATIONS[metadata["activation"]]()

    def joint(self, x, norm, shortcut=None):
        if self.norm == "before":
            x = norm(x)
        if shortcut is not None:
            x = x + shortcut
        x = self.act(x)
        return norm(x) if self.norm == "after" else x

    def bias(self, last=False):
        return last or self.norm != "before"

    def make_norm(self, kind, channels):
        return None if self.norm == "none" else kind(channels)


class Mlp(Base):
    def __init__(self, metadata, pixels, channels):
        super().__init__(metadata)
        self.fc1 = nn.Linear(pixels[0] * pixels[1] * channels, 256, bias=self.bias())
        self.bn1 = self.make_norm(nn.BatchNorm1d, 256)
        self.fc2 = nn.Linear(256, 128, bias=self.bias())
        self.bn2 = self.make_norm(nn.BatchNorm1d, 128)
        self.fc3 = nn.Linear(128, CLASSES)

    def forward(self, x):
        x = self.joint(self.fc1(x.flatten(1)), self.bn1)
        return self.fc3(self.joint(self.fc2(x), self.bn2))


class Cnn(Base):
    def __init__(self, metadata, pixels, channels):
        super().__init__(metadata)
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1, bias=self.bias())
        self.bn1 = self.make_norm(nn.BatchNorm2d, 32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, bias=self.bias())
        self.bn2 = self.make_norm(nn.BatchNorm2d, 64)
        self.fc1 = nn.Linear(64 * (pixels[0] // 2 // 2) * (pixels[1] // 2 // 2), 128, bias=self.bias())
        self.bn3 = self.make_norm(nn.BatchNorm1d, 128)
        self.fc2 = nn.Linear(128, CLASSES)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = self.pool(self.joint(self.conv1(x), self.bn1))
        x = self.pool(self.joint(self.conv2(x), self.bn2))
        return self.fc2(self.joint(self.fc1(x.flatten(1)), self.bn3))


class Block(Base):
    def __init__(self, metadata, inputs, channels, stride):
        super().__init__(metadata)
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=self.bias())
        self.bn1 = self.make_norm(nn.BatchNorm2d, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=self.bias())
        self.bn2 = self.make_norm(nn.BatchNorm2d, channels)
        if stride > 1:
            norms = [] if self.norm == "none" else [nn.BatchNorm2d(channels)]
            self.downsample = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=self.norm == "none"), *norms)

    def forward(self, x):
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        x = self.joint(self.conv1(x), self.bn1)
        return self.joint(self.conv2(x), self.bn2, shortcut)


class ResNet(Base):
    def __init__(self, metadata, pixels, channels):
        super().__init__(metadata)
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=self.bias())
        self.bn1 = self.make_norm(nn.BatchNorm2d, 16)
        blocks = (int(metadata["depth"]) - 2) // 6
        for i, (inputs, width) in enumerate([(16, 16), (16, 32), (32, 64)]):
            stride = 1 if i == 0 else 2
            layer = [Block(metadata, inputs, width, stride)] + [Block(metadata, width, width, 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = self.joint(self.conv1(x), self.bn1)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def images(height, width, channels):
    count = IMAGES * height * width * channels
    bytes_ = [((i * 2654435761 & 0xFFFFFFFF) >> 21) & 255 for i in range(count)]
    x = (torch.tensor(bytes_, dtype=torch.float32) - 128) * 0.015625
    return x.reshape(IMAGES, height, width, channels).permute(0, 3, 1, 2).contiguous()


def numbers_of(path):
    """What nn_golden checks of one network."""
    tensors, metadata = load(path)
    pixels = int(metadata["image.height"]), int(metadata["image.width"])
    channels = int(metadata["image.channels"])
    model = {"mlp": Mlp, "cnn": Cnn, "resnet": ResNet}[metadata["model"]](metadata, pixels, channels)
    model.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("trainer.")}, strict=True)
    x, labels = images(*pixels, channels), torch.arange(IMAGES) % CLASSES
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
            assert abs(a - b) <= 2e-4 * (1 + abs(b)), f"{is_[0]}: {a} instead of {b}"
    print(f"torch {torch.__version__}: {len(lines)} lines are the same")


main()
