# SPDX-License-Identifier: MIT
"""The operators, for torch.compile() and others who trace graphs."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from batchnorm.torch._functions import CHANNELS_LAST, even


def as_it_lies(x: Tensor, lies_last: bool) -> Tensor:
    """Look at a tensor in the order of its memory: the channels last, if they lie last."""
    return x.movedim(1, -1) if lies_last else x


def in_turn(x: Tensor, lies_last: bool) -> Tensor:
    """Look at it in the order (N, C, ...) again."""
    return x.movedim(-1, 1) if lies_last else x


class Traced(Function):
    """A layer as torch.compile() sees it: made of operators. What is not there is a tensor of no
    elements.

    Takes and returns x and y, and their gradients, as they lie in memory: torch.compile() makes
    every gradient contiguous before a backward sees it, and a copy into another order would take
    several times as long as the layer.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        frozen: bool,
        momentum: float,
        eps: float,
        lies_last: bool,
    ) -> Tensor:
        x = in_turn(x, lies_last)
        if frozen:
            y, saved = torch.ops.batchnorm.infer(x, weight, bias, running_mean, running_var, eps)
        else:
            y, saved = torch.ops.batchnorm.forward(
                x, weight, bias, running_mean, running_var, momentum, eps
            )
        ctx.save_for_backward(x, weight, bias, saved)
        ctx.frozen, ctx.lies_last = frozen, lies_last
        return as_it_lies(y, lies_last)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, weight, bias, saved = ctx.saved_tensors
        dx, dweight, dbias = torch.ops.batchnorm.backward(
            even(in_turn(dy, ctx.lies_last)), x, weight, bias, saved, ctx.frozen
        )
        dweight = dweight if weight.numel() else None
        dbias = dbias if bias.numel() else None
        return as_it_lies(dx, ctx.lies_last), dweight, dbias, None, None, None, None, None, None


def _like_x(x: Tensor) -> Tensor:
    for rank, order in CHANNELS_LAST.items():
        if x.dim() == rank and x.is_contiguous(memory_format=order) and not x.is_contiguous():
            return torch.empty_like(x, memory_format=order)
    return x.new_empty(x.shape)


def _fake_forward(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return _like_x(x), x.new_empty((2, x.shape[1]), dtype=torch.float64)


def _fake_backward(
    dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    usual = torch.float64 if x.dtype is torch.float64 else torch.float32
    dtype = weight.dtype if weight.numel() else bias.dtype if bias.numel() else usual
    return _like_x(x), x.new_empty(x.shape[1], dtype=dtype), x.new_empty(x.shape[1], dtype=dtype)


torch.library.register_fake("batchnorm::forward")(_fake_forward)
torch.library.register_fake("batchnorm::infer")(_fake_forward)
torch.library.register_fake("batchnorm::backward")(_fake_backward)
