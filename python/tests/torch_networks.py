# SPDX-License-Identifier: MIT
"""Small networks, and how tests compare layers."""

import copy

import pytest

torch = pytest.importorskip("torch", minversion="2.10")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import batchnorm.torch  # noqa: E402

# Tests run side by side: threads that spin while they wait would take the cores from each other.
torch.set_num_threads(1)

CLASSES = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
# How far two right results may be apart, for elements of a few units.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4, torch.bfloat16: 0.13, torch.float16: 0.02}


def pair(cls: type, *args: object, seed: int = 0, **kwargs: object) -> tuple[nn.Module, nn.Module]:
    """A layer of PyTorch's with numbers that are not the initial ones, and its converted copy."""
    torch.manual_seed(seed)
    theirs = cls(*args, **kwargs)
    with torch.no_grad():
        for tensor in (theirs.weight, theirs.bias, theirs.running_var):
            if tensor is not None:
                tensor.uniform_(0.5, 1.5)
        if theirs.running_mean is not None:
            theirs.running_mean.uniform_(-1, 1)
    return theirs, batchnorm.torch.convert(copy.deepcopy(theirs))


def is_ours(y: Tensor) -> bool:
    """Whether the library computed it, with gradients."""
    return y.grad_fn is not None and y.grad_fn.name() == "LayerBackward"


def close(a: Tensor | None, b: Tensor | None, dtype: torch.dtype, scale: float = 1.0) -> None:
    """Both are None, or they are of one type and shape and nearly equal."""
    assert (a is None) == (b is None)
    if a is not None:
        assert a.dtype == b.dtype and a.shape == b.shape
        torch.testing.assert_close(
            a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale, equal_nan=True
        )


class Residual(nn.Module):
    """A block of a ResNet."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.past = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.past = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """relu(bn(conv(relu(bn(conv(x))))) + past(x))"""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.past(x))


class ResNet18(nn.Module):
    """18 layers, of so many channels in the first stage."""

    def __init__(self, channels: int = 8, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        blocks, now = [], channels
        for stage in range(4):
            for i in range(2):
                blocks.append(Residual(now, channels << stage, 2 if stage and not i else 1))
                now = channels << stage
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(now, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images."""
        return self.fc(self.blocks(F.relu(self.bn(self.conv(x)))).mean((2, 3)))


class MobileNet(nn.Module):
    """Blocks that widen, convolve each channel alone and narrow again, with ReLU6 and HardSwish."""

    def __init__(self, channels: int = 8, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, channels, 3, 2, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.Hardswish(),
        ]
        for _ in range(3):
            wide = 4 * channels
            layers += [nn.Conv2d(channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
            layers += [
                nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False),
                nn.BatchNorm2d(wide),
                nn.ReLU6(),
            ]
            layers += [nn.Conv2d(wide, channels, 1, bias=False), nn.BatchNorm2d(channels)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(channels, 32), nn.BatchNorm1d(32), nn.Hardswish(), nn.Linear(32, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images."""
        return self.classifier(self.features(x).mean((2, 3)))
