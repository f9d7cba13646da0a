# SPDX-License-Identifier: MIT
"""Strides of results, where sizes of 1 make them ambiguous: those of PyTorch's."""

import itertools
import random

import pytest
from torch import nn
from torch_networks import CLASSES, torch

import batchnorm.torch


def permuted(rank):
    """All sizes of 1 to 3 in all orders of memory, and slices and repetitions of some."""
    chance = random.Random(0)
    for sizes in itertools.product((1, 2, 3), repeat=rank):
        for order in itertools.permutations(range(rank)):
            back = [order.index(d) for d in range(rank)]
            shape = [sizes[d] for d in order]
            x = torch.randn(shape).permute(back)
            yield x
            d = chance.randrange(rank)
            if sizes[d] == 1:
                yield x.expand(*(3 if i == d else -1 for i in range(rank)))
                shape[back[d]] = 3
                yield torch.randn(shape).permute(back).narrow(d, 1, 1)
            else:
                shape[back[d]] *= 2
                yield torch.randn(shape).permute(back)[(slice(None),) * d + (slice(0, None, 2),)]


def strided(rank, count):
    """Strides of any kind."""
    chance = random.Random(1)
    for _ in range(count):
        sizes = chance.choices((1, 1, 2, 3), k=rank)
        strides = chance.choices((0, 1, 1, 2, 3, 4, 6, 8, 9, 12, 18, 27), k=rank)
        last = sum((size - 1) * stride for size, stride in zip(sizes, strides))
        yield torch.randn(last + 1).as_strided(sizes, strides)


def is_copied(x):
    """Whether the dimensions after the channels cannot be taken for one."""
    try:
        x.view(*x.shape[:2], -1)
    except RuntimeError:
        return True
    return False


def results(layer, x):
    """y and the gradient of x, or None."""
    try:
        with torch.no_grad():
            alone = layer(x)
        x = x.detach().requires_grad_()
        y = layer(x)
    except ValueError:
        return None
    return alone, y, torch.autograd.grad(y, x, torch.ones(y.shape))[0]


def compare(views, cls):
    layers = {}
    for x in views:
        channels = x.shape[1]
        if channels not in layers:
            theirs = cls(channels)
            layers[channels] = theirs, batchnorm.torch.convert(cls(channels))
        for training in (True, False):
            wanted, found = (results(layer.train(training), x) for layer in layers[channels])
            assert (wanted is None) == (found is None)
            if wanted is None or (channels == 1 and is_copied(x)):
                continue  # of one channel whose copy is row-major and channels last: row-major
            strides = [[each.stride() for each in kind] for kind in (found, wanted)]
            assert strides[0] == strides[1], (x.shape, x.stride(), training)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_orders_of_memory(rank):
    compare(permuted(rank), CLASSES[max(1, rank - 2)])


def test_orders_of_memory_of_volumes():
    compare(itertools.islice(permuted(5), 0, None, 29), nn.BatchNorm3d)


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_strides_of_any_kind(rank):
    compare(strided(rank, 1500), CLASSES[max(1, rank - 2)])
