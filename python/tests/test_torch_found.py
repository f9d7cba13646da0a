# SPDX-License-Identifier: MIT
"""What once was wrong, in layers of PyTorch."""

import copy

import pytest
from torch import nn
from torch.nn import functional as F
from torch_networks import torch

import batchnorm.torch


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_zeros_stay_zeros_in_16_bits(dtype):
    layer = batchnorm.torch.BatchNorm1d(2).to(dtype)
    x = torch.zeros(4, 2, dtype=dtype, requires_grad=True)
    y = layer(x)
    y.backward(torch.zeros_like(y))
    for zero in (layer.running_mean, layer.weight.grad, layer.bias.grad):
        assert zero.eq(0).all()


class Writes(nn.Module):
    """Something writes between the batch norm and the activation."""

    def __init__(self, way):
        super().__init__()
        self.norm, self.way = nn.BatchNorm2d(3), way
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        """Each way another."""
        r = x * 1
        y = self.norm(r)
        if self.way == 0:
            r.add_(x)
        elif self.way == 1:
            r *= 2
        elif self.way == 2:
            F.relu(r, inplace=True)
        elif self.way == 3:
            self.relu(r)
        else:
            z = y + r
            r.add_(5)
            return F.relu(z)
        return F.relu(y) + r


@pytest.mark.parametrize("way", range(5))
@pytest.mark.parametrize("training", [True, False])
def test_fusing_heeds_what_is_written_in_place(way, training):
    theirs = Writes(way).train(training)
    ours = batchnorm.torch.fuse(copy.deepcopy(theirs))
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(ours(x.clone()), theirs(x.clone()))


def test_fusing_leaves_activations_with_hooks():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())
    model[1].register_forward_hook(lambda module, inputs, output: output * 2)
    fused = batchnorm.torch.fuse(copy.deepcopy(model))
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(fused(x), model(x))


def test_a_word_is_no_eps():
    with pytest.raises(TypeError, match="act="):
        batchnorm.torch.BatchNormAct2d(16, "silu")
