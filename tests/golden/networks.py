# SPDX-License-Identifier: MIT
"""Checkpoints of `batchnorm train`, and its networks as PyTorch modules."""
import json
import struct

import torch
from torch import nn

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


def sizes(metadata):
    """Height, width and channels of an image; classes."""
    return (int(metadata[key]) for key in ("image.height", "image.width", "image.channels", "classes"))


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

    def bias(self):
        """Of a layer that a batch norm may follow at once."""
        return self.norm != "before"

    def make_norm(self, kind, channels):
        return None if self.norm == "none" else kind(channels)


class Mlp(Base):
    def __init__(self, metadata):
        super().__init__(metadata)
        height, width, channels, classes = sizes(metadata)
        self.fc1 = nn.Linear(height * width * channels, 256, bias=self.bias())
        self.bn1 = self.make_norm(nn.BatchNorm1d, 256)
        self.fc2 = nn.Linear(256, 128, bias=self.bias())
        self.bn2 = self.make_norm(nn.BatchNorm1d, 128)
        self.fc3 = nn.Linear(128, classes)

    def forward(self, x):
        x = self.joint(self.fc1(x.flatten(1)), self.bn1)
        return self.fc3(self.joint(self.fc2(x), self.bn2))


class Cnn(Base):
    def __init__(self, metadata):
        super().__init__(metadata)
        height, width, channels, classes = sizes(metadata)
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1, bias=self.bias())
        self.bn1 = self.make_norm(nn.BatchNorm2d, 32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1, bias=self.bias())
        self.bn2 = self.make_norm(nn.BatchNorm2d, 64)
        self.fc1 = nn.Linear(64 * (height // 2 // 2) * (width // 2 // 2), 128, bias=self.bias())
        self.bn3 = self.make_norm(nn.BatchNorm1d, 128)
        self.fc2 = nn.Linear(128, classes)
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
    def __init__(self, metadata):
        super().__init__(metadata)
        *_, channels, classes = sizes(metadata)
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=self.bias())
        self.bn1 = self.make_norm(nn.BatchNorm2d, 16)
        blocks = (int(metadata["depth"]) - 2) // 6
        for i, (inputs, width) in enumerate([(16, 16), (16, 32), (32, 64)]):
            stride = 1 if i == 0 else 2
            layer = [Block(metadata, inputs, width, stride)] + [Block(metadata, width, width, 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = self.joint(self.conv1(x), self.bn1)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean((2, 3)))


def network_of(tensors, metadata):
    """The network of a checkpoint, with its state, in double."""
    model = {"mlp": Mlp, "cnn": Cnn, "resnet": ResNet}[metadata["model"]](metadata)
    model.load_state_dict({k: v for k, v in tensors.items() if not k.startswith("trainer.")}, strict=True)
    return model.double()
