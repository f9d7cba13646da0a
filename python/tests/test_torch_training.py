# SPDX-License-Identifier: MIT
"""Networks that are trained with converted layers go the way of those without."""

import copy

import pytest
import torch.nn.functional as F
from torch_networks import MobileNet, ResNet18, torch

import batchnorm.torch


def losses(network, order, steps=50):
    """The losses of a training on 64 images with some order in them."""
    dtype = next(network.parameters()).dtype
    source = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (64,), generator=source)
    images = torch.randn(64, 3, 16, 16, generator=source, dtype=torch.float64)
    images[:, 0] += labels.view(-1, 1, 1) / 5
    images = images.to(dtype).to(memory_format=order)
    network.to(memory_format=order)
    optimizer = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9, weight_decay=1e-4)
    found = []
    for step in range(steps):
        some = slice(16 * (step % 4), 16 * (step % 4) + 16)
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images[some]), labels[some])
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    network.eval()
    with torch.no_grad():
        found.append(F.cross_entropy(network(images), labels).item())
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("make", [ResNet18, MobileNet])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_loss_curves(make, order):
    torch.manual_seed(0)
    theirs = make().double()
    ours = batchnorm.torch.convert(copy.deepcopy(theirs))
    single, converted = copy.deepcopy(theirs).float(), copy.deepcopy(ours).float()
    other = copy.deepcopy(single)
    with torch.no_grad():  # as much as one rounding, for comparison
        for parameter in other.parameters():
            parameter.mul_(1 + 2**-23)
    expected = losses(theirs, order)
    assert expected[:4].mean() > 1.5 * expected[-5:-1].mean()
    torch.testing.assert_close(losses(ours, order), expected, rtol=1e-8, atol=1e-8)
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values()):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)
    # In float32 roundings grow: converted networks stay as near as PyTorch's own with others.
    near, apart = losses(converted, order) - expected, losses(single, order) - expected
    rounding = losses(other, order) - expected
    assert near.abs().max() <= 4 * max(apart.abs().max(), rounding.abs().max()) + 1e-4


def test_trained_states_go_both_ways():
    torch.manual_seed(0)
    ours = batchnorm.torch.convert(ResNet18())
    losses(ours, torch.contiguous_format, steps=3)
    theirs = ResNet18().eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
    back = batchnorm.torch.convert(ResNet18()).eval()
    back.load_state_dict(theirs.state_dict())
    assert torch.equal(back(x), ours(x))
