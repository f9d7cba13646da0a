# SPDX-License-Identifier: MIT
"""How PyTorch differentiates the layers."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function, forward_ad

from batchnorm import _torch

# What a forward leaves for its backward: statistics in bytes, frozen, eps, activation, group.
Done = tuple[bytes, bool, float, tuple[int, float] | None, tuple[Any, ...] | None]

# The activations of the library by their numbers, as PyTorch has them, and those whose derivative
# is read from y; the others compute their argument again.
ACTIVATIONS = {
    0: lambda v, _: v,
    1: lambda v, _: F.relu(v),
    2: lambda v, slope: F.leaky_relu(v, slope),
    3: lambda v, ceiling: F.hardtanh(v, 0.0, ceiling),
    4: lambda v, _: F.hardswish(v),
    5: lambda v, _: torch.sigmoid(v),
    6: lambda v, _: F.silu(v),
}
_BY_Y = frozenset({0, 1, 2, 3})
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def _per_channel(numbers: Tensor, x: Tensor) -> Tensor:
    return numbers.view(1, -1, *[1] * (x.dim() - 2))


def _again(
    x: Tensor, z: Tensor | None, weight: Tensor | None, bias: Tensor | None, done: Done
) -> Tensor:
    """Compute y once more by PyTorch's own operators, for derivatives that are not done here."""
    saved, frozen, eps, activation, group = done
    if group is not None:
        raise RuntimeError("a synchronized batch norm has first derivatives only")
    if frozen:
        statistics = torch.frombuffer(bytearray(saved), dtype=torch.float64).view(2, -1).to(x.dtype)
        y = (x - _per_channel(statistics[0], x)) * _per_channel(statistics[1], x)
        y = y if weight is None else y * _per_channel(weight, x)
        y = y if bias is None else y + _per_channel(bias, x)
        y = y.to(x.dtype)
    else:
        y = F.batch_norm(x, None, None, weight, bias, True, 0.0, eps)
    y = y if z is None else y + z
    return y if activation is None else ACTIVATIONS[activation[0]](y, activation[1])


def _gradients_again(
    dy: Tensor,
    inputs: list[Any],
    done: Done,
    wanted: tuple[bool, ...],
    create_graph: bool,
) -> list[Tensor | None]:
    """Differentiate by PyTorch's own operators. The inputs are x, z, weight and bias."""
    with torch.enable_grad():
        x, z, weight, bias = inputs
        y = _again(x, z, weight, bias, done)
        some = [tensor for tensor, want in zip(inputs, wanted) if want]
        found = iter(torch.autograd.grad(y, some, dy, create_graph=create_graph))
    return [next(found) if want else None for want in wanted[:4]]


def _bias_like(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """A bias of zeros whose gradient can be asked for: its own values do not matter there."""
    like = (
        weight
        if weight is not None
        else bias
        if bias is not None
        else x[0, :, ...].flatten(1)[:, 0]
    )
    return torch.zeros_like(like, requires_grad=True)


def _is_plain(tensor: Tensor | None) -> bool:
    if tensor is None:
        return True
    is_tensor = type(tensor) is Tensor or type(tensor) is torch.nn.Parameter
    return is_tensor and tensor.device.type == "cpu" and tensor.layout is torch.strided


def even(tensor: Tensor) -> Tensor:
    """Return it, or a copy in the memory order that its strides suggest if its elements do not lie
    evenly, or are not what lies there.
    """
    if not torch.compiler.is_compiling() and (tensor.is_neg() or tensor._is_zerotensor()):
        tensor = tensor.clone()
    if tensor.is_contiguous():
        return tensor
    if torch.compiler.is_compiling():
        for rank, order in CHANNELS_LAST.items():
            if tensor.dim() == rank and tensor.is_contiguous(memory_format=order):
                return tensor
    elif _torch.channels_last(tensor):
        return tensor.contiguous(memory_format=CHANNELS_LAST[tensor.dim()])
    return tensor.contiguous()


class Gradient(Function):
    """The gradients of a layer without activation, which can be differentiated once more."""

    @staticmethod
    def forward(
        ctx: Any,
        dy: Tensor,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        done: Done,
        wanted: tuple[bool, ...],
    ) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(dy, x, weight)
        ctx.done, ctx.bias = done, bias
        dx, _, dweight, dbias, _ = _torch.backward(dy, x, None, None, weight, bias, done, wanted)
        return dx, dweight, dbias

    @staticmethod
    def backward(ctx: Any, vx: Tensor | None, vweight: Tensor | None, vbias: Tensor | None) -> Any:
        dy, x, weight = ctx.saved_tensors
        if vx is None and vweight is None and vbias is None:
            return None, None, None, None, None, None
        found: Any = NotImplemented
        if not torch.is_grad_enabled():
            vx = vx if vx is None else even(vx)
            found = _torch.double_backward(vx, vweight, vbias, dy, x, weight, ctx.done)
        if found is NotImplemented:
            found = Gradient._again(ctx, vx, vweight, vbias)
        return *found, None, None, None

    @staticmethod
    def _again(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        dy, x, weight = ctx.saved_tensors
        bias = _bias_like(x, weight, ctx.bias)
        inputs = [dy, x, weight]
        with torch.enable_grad():
            first = [
                tensor
                if tensor is None or tensor.requires_grad
                else tensor.detach().requires_grad_()
                for tensor in inputs
            ]
            y = _again(first[1], None, first[2], bias, ctx.done)
            through = [first[1], first[2], bias]
            there = [i for i in range(3) if cotangents[i] is not None and through[i] is not None]
            gradients = torch.autograd.grad(
                y, [through[i] for i in there], first[0], create_graph=True
            )
            some = [tensor for tensor in first if tensor is not None]
            second = torch.autograd.grad(
                gradients,
                some,
                [cotangents[i] for i in there],
                create_graph=torch.is_grad_enabled(),
                allow_unused=True,
            )
        found = iter(second)
        return tuple(None if tensor is None else next(found) for tensor in first)


class Layer(Function):
    """Lets PyTorch know of a forward that was done."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        z: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
        done: tuple[Any, ...],
    ) -> Tensor:
        y = done[0]
        activation = done[4]
        ctx.done = done[1:]
        ctx.bias = None
        if activation is None:
            ctx.save_for_backward(x, weight)
            if weight is None:
                ctx.bias = bias  # only its type is looked at
        elif activation[0] in _BY_Y:
            ctx.save_for_backward(x, weight, z, bias, y)
        else:
            ctx.save_for_backward(x, weight, z, bias, None)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        saved = ctx.saved_tensors
        x, weight = saved[0], saved[1]
        z, bias, y = (None, ctx.bias, None) if len(saved) == 2 else saved[2:]
        if torch.is_grad_enabled():
            return Layer._differentiable(ctx, dy, x, z, weight, bias)
        if ctx.done[4] is not None:
            return Layer._of_a_group(ctx, dy, x, weight, bias)
        found = _torch.backward(
            dy, x, None if y is not None else z, y, weight, bias, ctx.done, ctx.needs_input_grad
        )
        if found is NotImplemented:
            return Layer._rest(ctx, dy, x, z, y, weight, bias)
        return found

    @staticmethod
    def _of_a_group(
        ctx: Any, dy: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None
    ) -> Any:
        gather, rank, ranks, _, grain, first = ctx.done[4]
        calls = 0 if gather is None else gather.__self__.calls
        done = (*ctx.done[:4], (gather, rank, ranks, calls, grain, first))
        found = _torch.backward(even(dy), x, None, None, weight, bias, done, ctx.needs_input_grad)
        if found is NotImplemented:
            raise RuntimeError(
                "a synchronized batch norm has first derivatives of plain tensors only"
            )
        for gradient in found[2:4]:
            if gradient is not None and ranks > 1:
                gradient.div_(ranks)
        return found

    @staticmethod
    def _differentiable(
        ctx: Any,
        dy: Tensor,
        x: Tensor,
        z: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
    ) -> Any:
        wanted = ctx.needs_input_grad
        if ctx.done[3] is None and ctx.done[4] is None and _is_plain(dy) and _torch.unwatched():
            dx, dweight, dbias = Gradient.apply(even(dy), x, weight, bias, ctx.done, wanted)
            return dx, None, dweight, dbias, None
        return *Layer._again(ctx, dy, x, z, weight, bias, True), None

    @staticmethod
    def _rest(
        ctx: Any,
        dy: Tensor,
        x: Tensor,
        z: Tensor | None,
        y: Tensor | None,
        weight: Tensor | None,
        bias: Tensor | None,
    ) -> Any:
        if _is_plain(dy) and _torch.unwatched():
            found = _torch.backward(
                even(dy),
                x,
                None if y is not None else z,
                y,
                weight,
                bias,
                ctx.done,
                ctx.needs_input_grad,
            )
            if found is not NotImplemented:
                return found
        return *Layer._again(ctx, dy, x, z, weight, bias, False), None

    @staticmethod
    def _again(
        ctx: Any, dy: Tensor, x: Tensor, z: Any, weight: Any, bias: Any, create_graph: bool
    ) -> Any:
        if ctx.done[3] is None and ctx.needs_input_grad[3]:
            bias = _bias_like(x, weight, bias)
        return _gradients_again(
            dy, [x, z, weight, bias], ctx.done, ctx.needs_input_grad, create_graph
        )


def _begin() -> None:
    watchers = (
        torch._C._len_torch_function_stack,
        torch._C._len_torch_dispatch_stack,
        torch._C._are_functorch_transforms_active,
        torch._C._get_tracing_state,
    )
    dtypes = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    tensors = (Tensor, torch.nn.Parameter, torch.empty_strided, dtypes, watchers, vars(forward_ad))
    # Function.apply() without the step for transforms, during which layers do not come here.
    _torch.begin(tensors, super(Function, Layer).apply)


_begin()
