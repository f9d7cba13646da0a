# SPDX-License-Identifier: MIT
"""PyTorch's layers with another forward, and their conversion."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from batchnorm import _torch
from batchnorm.torch._functions import even
from batchnorm.torch._operators import Traced, as_it_lies, in_turn

_layer = _torch.layer
M = TypeVar("M", bound=nn.Module)

_TYPES = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})


def _traceable(module: Any, x: Tensor) -> bool:
    """Whether a layer that is compiled becomes operators of ours: what the eager call decides in
    C.
    """
    if torch.compiler.is_exporting() or x.device.type != "cpu" or x.dtype not in _TYPES:
        return False
    if module.momentum is None or module.eps <= 0 or x.dim() < 2 or x.numel() == 0:
        return False
    state = [module.weight, module.bias, module.running_mean, module.running_var]
    if (state[2] is None) != (state[3] is None) or x.numel() == x.shape[1]:
        return False
    types = {tensor.dtype for tensor in state if tensor is not None}
    sizes = {tensor.numel() for tensor in state if tensor is not None}
    if not sizes <= {x.shape[1]} or len(types) > 1:
        return False
    half = x.dtype is torch.bfloat16 or x.dtype is torch.float16
    return types <= ({x.dtype, torch.float32} if half else {x.dtype})


def _traced(module: Any, x: Tensor) -> Tensor:
    """The forward of a layer as operators, in the rules of PyTorch's own forward."""
    none = x.new_empty(0)
    updates = module.training and module.track_running_stats
    if updates and module.num_batches_tracked is not None:
        module.num_batches_tracked.add_(1)
    frozen = not module.training and module.running_mean is not None
    mean, var = (module.running_mean, module.running_var) if updates or frozen else (None, None)
    weight, bias = module.weight, module.bias
    x = even(x)
    lies_last = not x.is_contiguous()
    y = Traced.apply(
        as_it_lies(x, lies_last),
        none if weight is None else weight,
        none if bias is None else bias,
        none if mean is None else mean,
        none.clone() if var is None else var,
        frozen,
        float(module.momentum),
        float(module.eps),
        lies_last,
    )
    return in_turn(y, lies_last)


def _otherwise(module: nn.Module, x: Any, ranks: int, forward: Callable[[Any], Tensor]) -> Any:
    """What the eager call does not do: inputs that lie unevenly, tracers' proxies, and all that is
    PyTorch's.
    """
    if isinstance(x, torch.fx.Proxy):
        # A layer of its own in the graph, as PyTorch's are.
        tracer: Any = x.tracer
        return tracer.create_proxy("call_module", tracer.path_of_module(module), (x,), {})
    if (
        type(x) is Tensor
        and _torch.unwatched()
        and x.layout is torch.strided
        and x.dim() > 3
        and x.numel()
    ):
        y = _layer(module, even(x), ranks, None, None, None)
        if y is not NotImplemented:
            return y
    return forward(x)


def _original(module: nn.Module) -> nn.Module:
    """The layer with PyTorch's class and the same parameters and buffers, for those who compile its
    source.
    """
    twin = object.__new__(_ORIGINALS[type(module)])
    twin.__dict__ = module.__dict__
    return twin


class BatchNorm1d(nn.BatchNorm1d):
    """nn.BatchNorm1d whose forward is done by batchnorm where it can be."""

    def forward(self, input: Tensor) -> Tensor:
        """As nn.BatchNorm1d."""
        if is_compiling():
            if input.dim() in (2, 3) and _traceable(self, input):
                return _traced(self, input)
            return super().forward(input)
        y = _layer(self, input, 12, None, None, None)
        return _otherwise(self, input, 12, super().forward) if y is NotImplemented else y

    def __prepare_scriptable__(self) -> nn.Module:
        return _original(self)


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d whose forward is done by batchnorm where it can be."""

    def forward(self, input: Tensor) -> Tensor:
        """As nn.BatchNorm2d."""
        if is_compiling():
            if input.dim() == 4 and _traceable(self, input):
                return _traced(self, input)
            return super().forward(input)
        y = _layer(self, input, 16, None, None, None)
        return _otherwise(self, input, 16, super().forward) if y is NotImplemented else y

    def __prepare_scriptable__(self) -> nn.Module:
        return _original(self)


class BatchNorm3d(nn.BatchNorm3d):
    """nn.BatchNorm3d whose forward is done by batchnorm where it can be."""

    def forward(self, input: Tensor) -> Tensor:
        """As nn.BatchNorm3d."""
        if is_compiling():
            if input.dim() == 5 and _traceable(self, input):
                return _traced(self, input)
            return super().forward(input)
        y = _layer(self, input, 32, None, None, None)
        return _otherwise(self, input, 32, super().forward) if y is NotImplemented else y

    def __prepare_scriptable__(self) -> nn.Module:
        return _original(self)


class LazyBatchNorm1d(nn.LazyBatchNorm1d):
    """nn.LazyBatchNorm1d that becomes a BatchNorm1d of this package."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(nn.LazyBatchNorm2d):
    """nn.LazyBatchNorm2d that becomes a BatchNorm2d of this package."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(nn.LazyBatchNorm3d):
    """nn.LazyBatchNorm3d that becomes a BatchNorm3d of this package."""

    cls_to_become = BatchNorm3d


_CONVERTED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: BatchNorm1d,
    nn.BatchNorm2d: BatchNorm2d,
    nn.BatchNorm3d: BatchNorm3d,
    nn.LazyBatchNorm1d: LazyBatchNorm1d,
    nn.LazyBatchNorm2d: LazyBatchNorm2d,
    nn.LazyBatchNorm3d: LazyBatchNorm3d,
}
_ORIGINALS = {ours: theirs for theirs, ours in _CONVERTED.items()}


def _change(model: nn.Module, classes: dict[type[nn.Module], type[nn.Module]]) -> list[nn.Module]:
    changed = [module for module in model.modules() if type(module) in classes]
    for module in changed:
        module.__class__ = classes[type(module)]
    return changed


def convert(model: M) -> M:
    """Give every nn.BatchNorm1d, 2d and 3d in the model, lazy ones too, the forward of this
    package.

    The layers stay the same objects, with the same parameters, buffers, hooks and names; their
    class becomes a subclass of what it was. Subclasses of PyTorch's layers are left alone. Returns
    the model.
    """
    _change(model, _CONVERTED)
    return model


def restore(model: M) -> M:
    """Give the layers PyTorch's own classes back: the inverse of convert(). Returns the model."""
    _change(model, _ORIGINALS)
    return model


@contextmanager
def converted(model: M) -> Iterator[M]:
    """Have the model converted for the time of a `with`; layers that were converted before stay
    so.
    """
    changed = _change(model, _CONVERTED)
    try:
        yield model
    finally:
        for module in changed:
            module.__class__ = _ORIGINALS.get(type(module), type(module))
