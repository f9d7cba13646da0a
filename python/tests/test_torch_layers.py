# SPDX-License-Identifier: MIT
"""Converted layers give what PyTorch's give: values, gradients, statistics, strides, errors."""

import copy
import itertools

import pytest
from torch import nn
from torch_networks import CLASSES, TOLERANCE, close, is_ours, pair, torch

SHAPES = {1: [(5, 6), (3, 6, 7)], 2: [(4, 6, 5, 3), (2, 6, 1, 1)], 3: [(2, 6, 3, 2, 5)]}
CASES = [(cls, shape) for cls, shapes in SHAPES.items() for shape in shapes]
ORDERS = {4: torch.channels_last, 5: torch.channels_last_3d}


def both(theirs, ours, x, rounds=2):
    """Forward and backward of both; everything must agree."""
    for _ in range(rounds):
        xs = [
            x.detach().clone(memory_format=torch.preserve_format).requires_grad_() for _ in range(2)
        ]
        ys = [layer(each) for layer, each in zip((theirs, ours), xs)]
        assert is_ours(ys[1])
        close(ys[1], ys[0], x.dtype)
        assert ys[0].stride() == ys[1].stride()
        dy = torch.randn_like(ys[0])
        for y in ys:
            y.backward(dy)
        close(xs[1].grad, xs[0].grad, x.dtype)
        assert xs[0].grad.stride() == xs[1].grad.stride()
        for a, b in zip(ours.parameters(), theirs.parameters()):
            close(a.grad, b.grad, x.dtype, 100)
            a.grad = b.grad = None
        for a, b in zip(ours.buffers(), theirs.buffers()):
            if a.is_floating_point():
                close(a, b, a.dtype)
            else:
                assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rank,shape", CASES)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_values_and_gradients(dtype, rank, shape, channels_last, training):
    theirs, ours = pair(
        CLASSES[rank], 6, dtype=torch.float64 if dtype == torch.float64 else torch.float32
    )
    theirs.train(training), ours.train(training)
    x = (torch.randn(shape, dtype=torch.float64) * 2 + 1).to(dtype)
    if channels_last and len(shape) in ORDERS:
        x = x.contiguous(memory_format=ORDERS[len(shape)])
    both(theirs, ours, x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [False, True])
def test_parameters_of_16_bits(dtype, training):
    theirs, ours = pair(nn.BatchNorm2d, 6, dtype=dtype)
    theirs.train(training), ours.train(training)
    both(theirs, ours, torch.randn(4, 6, 5, 5, dtype=dtype), rounds=1)
    assert ours.running_var.dtype == dtype


@pytest.mark.parametrize("affine,bias,track", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("momentum", [0.1, None, 1.0, 0.0])
def test_options(affine, bias, track, momentum):
    options = {"affine": affine, "momentum": momentum, "track_running_stats": track}
    try:
        theirs, ours = pair(nn.BatchNorm1d, 6, bias=bias, **options)
    except TypeError:  # PyTorch before 2.15
        theirs, ours = pair(nn.BatchNorm1d, 6, **options)
    for training in (True, False, True):
        theirs.train(training), ours.train(training)
        both(theirs, ours, torch.randn(8, 6, 3))


def test_flags_that_are_flipped():
    for training, track, drop in itertools.product(
        [False, True], [False, True], [(), ("num_batches_tracked",)]
    ):
        theirs, ours = pair(nn.BatchNorm2d, 6)
        for layer in (theirs, ours):
            layer.train(training)
            layer.track_running_stats = track
            for name in drop:
                setattr(layer, name, None)
        both(theirs, ours, torch.randn(2, 6, 3, 3))


def test_no_gradients():
    theirs, ours = pair(nn.BatchNorm2d, 6)
    x = torch.randn(2, 6, 3, 3)
    with torch.no_grad():
        y = ours(x)
        assert not y.requires_grad
        close(y, theirs(x), x.dtype)
    with torch.inference_mode():
        y = ours(x)
        assert y.is_inference()
        close(y, theirs(x), x.dtype)
    for layer in (theirs, ours):
        layer.requires_grad_(False)
    assert not ours(x).requires_grad
    theirs(x)
    both_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    theirs(both_x[0]).square().sum().backward(), ours(both_x[1]).square().sum().backward()
    close(both_x[1].grad, both_x[0].grad, x.dtype)
    assert ours.weight.grad is None


def test_gradients_of_some():
    for some in ("weight", "bias"):
        theirs, ours = pair(nn.BatchNorm2d, 6)
        x, dy = torch.randn(2, 6, 3, 3), torch.randn(2, 6, 3, 3)
        for layer in (theirs, ours):
            layer.requires_grad_(False)
            getattr(layer, some).requires_grad_(True)
            layer(x).backward(dy)
        close(getattr(ours, some).grad, getattr(theirs, some).grad, x.dtype)


def test_uneven_strides():
    whole = torch.randn(5, 9, 8, 8)
    inputs = [
        whole[:, :6, 1:7, ::2],
        whole[:, :6].transpose(2, 3),
        whole[::2, 1:7, 2:5, 3:],
        whole[:, :1].expand(5, 6, 8, 8),
        whole.permute(3, 2, 1, 0)[:, :6],
        whole[:, :6].flip(3),
        whole[:, :6, :, :1],
        whole[:1, :6, :, :],
        whole.contiguous(memory_format=torch.channels_last)[:, 2:8],
        whole.contiguous(memory_format=torch.channels_last)[:, :6, 1:3, 1:5],
    ]
    for x in inputs:
        theirs, ours = pair(nn.BatchNorm2d, 6)
        layer_x = [x.detach().requires_grad_() for _ in range(2)]
        ys = theirs(layer_x[0]), ours(layer_x[1])
        close(ys[1], ys[0], x.dtype)
        assert ys[0].stride() == ys[1].stride()
        ys[0].sum().backward(), ys[1].sum().backward()  # dy of strides 0
        close(layer_x[1].grad, layer_x[0].grad, x.dtype)
        dy = torch.randn(9, 12, 20, 20)[: x.shape[0], ::2, : 2 * x.shape[2] : 2, 1 : 1 + x.shape[3]]
        close(
            *[
                torch.autograd.grad(layer(z), z, dy)[0]
                for layer, z in ((ours, layer_x[1]), (theirs, layer_x[0]))
            ],
            x.dtype,
        )


def test_negative_view():
    x = torch.randn(4, 6, 3, 3, dtype=torch.complex128).conj().imag
    assert x.is_neg()
    theirs, ours = pair(nn.BatchNorm2d, 6, dtype=torch.float64)
    close(ours(x), theirs(x), x.dtype)


def message(layer, *args):
    """Type and text of what a call raises, or what it returns."""
    try:
        return layer(*args)
    except Exception as error:  # noqa: BLE001: any is compared
        return type(error), str(error)


def test_errors_are_pytorchs():
    bad = [
        torch.randn(4, 6),
        torch.randn(4, 6, 3, 3, 3),
        torch.randn(4, 5, 3, 3),
        torch.randn(1, 6, 1, 1),
        torch.randn(4, 6, 3, 3, dtype=torch.float64),
        torch.randn(4, 6, 3, 3, dtype=torch.complex64),
        torch.ones(4, 6, 3, 3, dtype=torch.int64),
        torch.randn(6),
        None,
        [1.0],
    ]
    for x in bad:
        for training in (True, False):
            theirs, ours = pair(nn.BatchNorm2d, 6)
            theirs.train(training), ours.train(training)
            expected, found = message(theirs, x), message(ours, x)
            if isinstance(expected, torch.Tensor):
                close(found, expected, x.dtype)
            else:
                assert found == expected
    for change in (
        {"eps": -1.0},
        {"eps": 0.0},
        {"eps": "a"},
        {"momentum": "a"},
        {"running_var": None},
        {"training": 1},
    ):
        theirs, ours = pair(nn.BatchNorm2d, 6)
        for layer in (theirs, ours):
            for name, value in change.items():
                setattr(layer, name, value)
        expected, found = (
            message(theirs, torch.ones(2, 6, 2, 2)),
            message(ours, torch.ones(2, 6, 2, 2)),
        )
        assert type(expected) is type(found) and (
            isinstance(expected, torch.Tensor) or found == expected
        ), change


def test_empty_batches():
    for shape in ((0, 6, 3, 3), (2, 6, 0, 3)):
        theirs, ours = pair(nn.BatchNorm2d, 6)
        xs = [torch.randn(shape).requires_grad_() for _ in range(2)]
        ys = theirs(xs[0]), ours(xs[1])
        ys[0].sum().backward(), ys[1].sum().backward()
        assert ys[1].shape == shape and xs[1].grad.shape == shape
        assert torch.equal(ours.weight.grad, theirs.weight.grad)
        for a, b in zip(ours.buffers(), theirs.buffers()):
            assert torch.equal(a, b)


def test_x_that_changes_before_backward_is_noticed():
    _, ours = pair(nn.BatchNorm2d, 6)
    x = torch.randn(4, 6, 3, 3)
    y = ours(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_statistics_that_move_before_backward():
    """Backward in evaluation uses what its own forward used."""
    _, ours = pair(nn.BatchNorm2d, 6)
    ours.eval()
    x = torch.randn(4, 6, 3, 3, requires_grad=True)
    y = ours(x)
    expected = torch.autograd.grad(y, x, torch.ones_like(y), retain_graph=True)[0]
    ours.train()
    ours(torch.randn(4, 6, 3, 3) * 9)
    assert torch.equal(torch.autograd.grad(y, x, torch.ones_like(y))[0], expected)


def test_bits_do_not_depend_on_threads():
    x = torch.randn(16, 32, 28, 28)
    dy = torch.randn_like(x)
    for order in (torch.contiguous_format, torch.channels_last):
        results = []
        before = torch.get_num_threads()
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            _, ours = pair(nn.BatchNorm2d, 32)
            mine = x.to(memory_format=order).clone().requires_grad_()
            y = ours(mine)
            y.backward(dy.to(memory_format=order))
            results.append(
                [
                    y,
                    mine.grad,
                    ours.weight.grad,
                    ours.bias.grad,
                    ours.running_mean,
                    ours.running_var,
                ]
            )
        torch.set_num_threads(before)
        for others in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], others))


def test_offsets_lose_no_digit():
    _, ours = pair(nn.BatchNorm2d, 6)
    x = torch.randn(8, 6, 14, 14, dtype=torch.float64)
    moved = (x + 1000).float()
    expected = copy.deepcopy(ours).double()(moved.double())
    torch.testing.assert_close(ours(moved).double(), expected, rtol=1e-6, atol=1e-6)
