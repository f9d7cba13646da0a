# SPDX-License-Identifier: MIT
"""Derivatives of any order and either direction, against finite differences and PyTorch's own."""

import pytest
from torch import nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch_networks import close, pair, torch

import batchnorm.torch  # noqa: F401


def function(layer, training):
    """The layer as a function of x, weight and bias, whose running statistics stay."""

    def call(x, weight=None, bias=None):
        values = {
            "running_mean": layer.running_mean.clone(),
            "running_var": layer.running_var.clone(),
        }
        if weight is not None:
            values |= {"weight": weight, "bias": bias}
        layer.train(training)
        return torch.func.functional_call(layer, values, (x,))

    return call


CASES = [
    (nn.BatchNorm1d, (5, 3), torch.contiguous_format),
    (nn.BatchNorm1d, (3, 3, 4), torch.contiguous_format),
    (nn.BatchNorm2d, (2, 3, 3, 2), torch.contiguous_format),
    (nn.BatchNorm2d, (2, 3, 3, 2), torch.channels_last),
    (nn.BatchNorm3d, (2, 3, 2, 2, 2), torch.channels_last_3d),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("cls,shape,order", CASES)
def test_finite_differences(cls, shape, order, training):
    _, ours = pair(cls, 3, dtype=torch.float64)
    x = torch.randn(shape, dtype=torch.float64)
    x = (x.contiguous(memory_format=order) if x.dim() > 3 else x).requires_grad_()
    inputs = (x, ours.weight, ours.bias)
    call = function(ours, training)
    assert gradcheck(call, inputs, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(call, inputs, check_fwd_over_rev=True, check_rev_over_rev=True)


@pytest.mark.parametrize("training", [True, False])
def test_without_parameters(training):
    _, ours = pair(nn.BatchNorm2d, 3, affine=False, dtype=torch.float64)
    x = torch.randn(2, 3, 3, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(function(ours, training), (x,))
    assert gradgradcheck(function(ours, training), (x,))


def test_third_order():
    """PyTorch has none of batch norm; the same error, and no wrong number."""
    for layer in pair(nn.BatchNorm1d, 3, dtype=torch.float64):
        z = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
        total = layer(z).pow(3).sum()
        with pytest.raises(RuntimeError, match="does not support 3rd"):
            for _ in range(3):
                (gradient,) = torch.autograd.grad(total, z, create_graph=True)
                total = gradient.pow(2).sum()


def test_penalty_of_gradients():
    """Double backward in float, as a gradient penalty has it: parameters get gradients, too."""
    theirs, ours = pair(nn.BatchNorm2d, 6)
    x = torch.randn(4, 6, 5, 5)
    for layer in (theirs, ours):
        z = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(layer(z).square().sum(), z, create_graph=True)
        (gradient.norm() + layer(z).sum()).backward()
    close(ours.weight.grad, theirs.weight.grad, torch.float32, 10)
    close(ours.bias.grad, theirs.bias.grad, torch.float32, 10)


@pytest.mark.parametrize("grad", [True, False])
def test_forward_mode(grad):
    theirs, ours = pair(nn.BatchNorm2d, 6)
    x, t = torch.randn(4, 6, 5, 5), torch.randn(4, 6, 5, 5)
    found = []
    for layer in (theirs, ours):
        with torch.set_grad_enabled(grad), forward_ad.dual_level():
            found.append(forward_ad.unpack_dual(layer(forward_ad.make_dual(x, t))).tangent)
    close(found[1], found[0], torch.float32)


def test_forward_over_a_graph_that_was_there():
    """dy with a tangent, through a graph that was made before."""
    theirs, ours = pair(nn.BatchNorm2d, 6, dtype=torch.float64)
    x, dy, t = (torch.randn(4, 6, 5, 5, dtype=torch.float64) for _ in range(3))
    found = []
    for layer in (theirs, ours):
        z = x.clone().requires_grad_()
        y = layer(z)
        with forward_ad.dual_level():
            (dx,) = torch.autograd.grad(y, z, forward_ad.make_dual(dy, t))
            found.append(forward_ad.unpack_dual(dx).tangent)
    assert found[0] is not None
    close(found[1], found[0], torch.float64)


def test_transforms():
    theirs, ours = pair(nn.BatchNorm2d, 6, track_running_stats=False, dtype=torch.float64)
    x = torch.randn(3, 4, 6, 5, 5, dtype=torch.float64)
    close(torch.vmap(ours)(x), torch.vmap(theirs)(x), x.dtype)
    for make in (torch.func.jacrev, torch.func.jacfwd):
        close(
            make(lambda z: ours(z).sum((0, 2, 3)))(x[0]),
            make(lambda z: theirs(z).sum((0, 2, 3)))(x[0]),
            x.dtype,
        )
    z = x[0].clone().requires_grad_()
    rows = torch.eye(6, dtype=torch.float64)
    found = [
        torch.autograd.grad(layer(z).pow(2).sum((0, 2, 3)), z, rows, is_grads_batched=True)[0]
        for layer in (theirs, ours)
    ]
    close(found[1], found[0], x.dtype)


def test_checkpoints():
    from torch.utils.checkpoint import checkpoint

    for reentrant in (True, False):
        theirs, ours = pair(nn.BatchNorm2d, 6)
        x = torch.randn(4, 6, 5, 5)
        grads = []
        for layer in (theirs, ours):
            z = x.clone().requires_grad_()
            checkpoint(layer, z, use_reentrant=reentrant).square().sum().backward()
            grads.append(z.grad)
        close(grads[1], grads[0], x.dtype)
        assert torch.equal(ours.num_batches_tracked, theirs.num_batches_tracked)
