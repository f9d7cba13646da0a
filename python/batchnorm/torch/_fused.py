# SPDX-License-Identifier: MIT
"""Batch norm with what follows it, a residual and an activation, in one pass over memory."""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.compiler import is_compiling

from batchnorm import _torch
from batchnorm.torch._functions import ACTIVATIONS, even
from batchnorm.torch._layers import BatchNorm2d
from batchnorm.torch._scripted import ScriptedAct2d

# The words for activations, their numbers in the library, and the parameter that they have unless
# it is given.
_WORDS = {
    "identity": (0, 0.0),
    "relu": (1, 0.0),
    "leaky_relu": (2, 0.01),
    "relu6": (3, 6.0),
    "hardswish": (4, 0.0),
    "sigmoid": (5, 0.0),
    "silu": (6, 0.0),
}


class BatchNormAct2d(BatchNorm2d):
    """act(bn(x) + residual) of (N, C, H, W), where the residual may be left out.

    Parameters, buffers and their names are those of nn.BatchNorm2d. `act` is one of identity, relu,
    leaky_relu, relu6, hardswish, sigmoid and silu; `slope` is that of leaky_relu.
    """

    act: str
    slope: float

    def __init__(
        self, num_features: int, *args: Any, act: str = "relu", slope: float = 0.01, **kwargs: Any
    ) -> None:
        if any(isinstance(arg, str) for arg in args):
            raise TypeError("act is given by its name: act=...")
        super().__init__(num_features, *args, **kwargs)
        self._choose(act, slope)

    def _choose(self, act: str, slope: float) -> None:
        if act not in _WORDS:
            raise ValueError(f"act must be one of {', '.join(_WORDS)} (got {act})")
        if act == "leaky_relu" and not 0 <= slope < float("inf"):
            raise ValueError(f"slope must be finite and not negative (got {slope})")
        self.act, self.slope = act, slope
        self._activation = (_WORDS[act][0], slope if act == "leaky_relu" else _WORDS[act][1])

    @classmethod
    def of(cls, norm: nn.BatchNorm2d, act: str = "relu", slope: float = 0.01) -> "BatchNormAct2d":
        """Make one that shares parameters and buffers with a layer, and has its mode and
        options.
        """
        made = cls.__new__(cls)
        made.__dict__ = norm.__dict__.copy()
        for name in ("_parameters", "_buffers", "_modules"):
            made.__dict__[name] = norm.__dict__[name].copy()
        made._choose(act, slope)
        return made

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """act(bn(input) + residual)"""
        if not is_compiling():
            y = _torch.layer(self, input, 1 << 4, residual, self._activation, None)
            if (
                y is NotImplemented
                and type(input) is Tensor
                and _torch.unwatched()
                and input.dim() == 4
            ):
                y = _torch.layer(
                    self,
                    even(input),
                    1 << 4,
                    residual if residual is None else even(residual),
                    self._activation,
                    None,
                )
            if y is not NotImplemented:
                return y
        y = super().forward(input)
        y = y if residual is None else y + residual
        return ACTIVATIONS[self._activation[0]](y, self._activation[1])

    def __prepare_scriptable__(self) -> nn.Module:
        twin = object.__new__(ScriptedAct2d)
        twin.__dict__ = self.__dict__
        return twin

    def extra_repr(self) -> str:
        """As nn.BatchNorm2d's, and the activation."""
        slope = f", slope={self.slope}" if self.act == "leaky_relu" else ""
        return f"{super().extra_repr()}, act={self.act}{slope}"


def _act_of_module(module: nn.Module) -> tuple[str, float] | None:
    if type(module) is nn.Hardtanh and module.min_val == 0 and module.max_val == 6:
        return "relu6", 0.0
    if type(module) is nn.LeakyReLU and module.negative_slope >= 0:
        return "leaky_relu", module.negative_slope
    words = {
        nn.ReLU: "relu",
        nn.ReLU6: "relu6",
        nn.Hardswish: "hardswish",
        nn.Sigmoid: "sigmoid",
        nn.SiLU: "silu",
    }
    return (words[type(module)], 0.0) if type(module) in words else None


_FUNCTIONS: dict[Any, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    torch.relu_: "relu",
    "relu": "relu",
    "relu_": "relu",
    F.relu6: "relu6",
    F.hardswish: "hardswish",
    torch.sigmoid: "sigmoid",
    "sigmoid": "sigmoid",
    F.silu: "silu",
}
_ADDS = (operator.add, operator.iadd, torch.add, "add", "add_")


class _Tracer(fx.Tracer):
    """Takes converted layers for what PyTorch's are: whole."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.modules.batchnorm._NormBase) or super().is_leaf_module(
            module, name
        )


def _is_watched(module: nn.Module) -> bool:
    """Whether a hook would want to see what goes in or comes out."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def _may_write(node: Any, modules: dict[str, nn.Module]) -> bool:
    """Whether a node may change a tensor that others read."""
    if node.op == "call_module":
        module = modules[node.target]
        if getattr(module, "inplace", False):
            return True
        leaf = type(module).__module__.startswith("torch.nn") or isinstance(module, nn.BatchNorm2d)
        return not leaf
    if node.kwargs.get("inplace") or node.kwargs.get("out") is not None:
        return True
    if node.op == "call_method":
        return node.target.endswith("_") or node.target.startswith("__i")
    if node.op != "call_function":
        return False
    name = getattr(node.target, "__name__", "")
    in_place = name.endswith("_") or (
        getattr(node.target, "__module__", "") == "_operator" and name[:1] == "i"
    )
    return in_place or name == "setitem" or any(arg is True for arg in node.args)


def _nothing_writes_between(norm: Any, last: Any, own: Any, modules: dict[str, nn.Module]) -> bool:
    """Whether the batch norm may be done as late as the activation: nothing but its own addition
    may write in between.
    """
    node = norm.next
    while node is not last:
        if node is not own and _may_write(node, modules):
            return False
        node = node.next
    return True


def _activation(node: Any, modules: dict[str, nn.Module]) -> tuple[str, float] | None:
    if node.op == "call_module":
        module = modules[node.target]
        return None if _is_watched(module) else _act_of_module(module)
    others = {name: value for name, value in node.kwargs.items() if name != "inplace"}
    if node.op in ("call_function", "call_method") and node.target in _FUNCTIONS and not others:
        return (
            (_FUNCTIONS[node.target], 0.0)
            if all(value in (True, False) for value in node.args[1:])
            else None
        )
    return None


def _is_norm(node: Any, modules: dict[str, nn.Module]) -> bool:
    """Whether it is a batch norm of images that has one reader and no hook that would want to see
    its output.
    """
    if (
        not isinstance(node, fx.Node)
        or node.op != "call_module"
        or len(node.users) != 1
        or len(node.args) != 1
    ):
        return False
    norm = modules[str(node.target)]
    return type(norm) in (nn.BatchNorm2d, BatchNorm2d) and not _is_watched(norm)


def _calls(graph: fx.Graph, target: str) -> int:
    return sum(node.op == "call_module" and node.target == target for node in graph.nodes)


def _find(node: Any, modules: dict[str, nn.Module]) -> tuple[Any, Any, Any] | None:
    """The batch norm that goes into an activation, the residual, and the addition between them."""
    before: Any = node.args[0] if node.args else None
    if _is_norm(before, modules):
        return before, None, None
    is_add = (
        isinstance(before, fx.Node)
        and before.op in ("call_function", "call_method")
        and before.target in _ADDS
    )
    if not is_add or len(before.args) != 2 or before.kwargs or len(before.users) != 1:
        return None
    for norm, residual in (before.args, before.args[::-1]):
        if _is_norm(norm, modules) and isinstance(residual, fx.Node) and residual is not norm:
            return norm, residual, before
    return None


def _reorder(given: dict[str, Any], like: dict[str, Any]) -> None:
    """Bring entries into the order of a dictionary that has them, too."""
    for name in [name for name in like if name in given]:
        given[name] = given.pop(name)


def _keep_order(fused: nn.Module, model: nn.Module) -> None:
    """Give parameters and buffers the order that the model has: torch.fx makes new modules around
    them, in the order of their use, and forgets which buffers are in no state.
    """
    originals = dict(model.named_modules(remove_duplicate=False))
    for path, module in fused.named_modules(remove_duplicate=False):
        original = originals.get(path, module)
        if module is original or isinstance(module, BatchNormAct2d):
            continue
        for kind in ("_parameters", "_buffers", "_modules"):
            _reorder(getattr(module, kind), getattr(original, kind))
        hidden = original._non_persistent_buffers_set
        module._non_persistent_buffers_set.update(hidden.intersection(module._buffers))


def fuse(model: nn.Module) -> fx.GraphModule:
    """Trace a model, and make one module of every nn.BatchNorm2d with the activation, and the
    addition, that follow it.

    Parameters and buffers are those of the model, under their names and in their order, and the
    model stays as it is; what its forward does not use is left out.
    Other batch norms are not converted; convert() does that, before or after. What torch.fx cannot
    trace cannot be fused.
    """
    graph = _Tracer().trace(model)
    fused = fx.GraphModule(model, graph)
    modules = dict(fused.named_modules())
    node: Any
    for node in list(graph.nodes):
        activation = _activation(node, modules)
        found = _find(node, modules)
        if activation is None or found is None or _calls(graph, found[0].target) != 1:
            continue
        norm, residual, addition = found
        if not _nothing_writes_between(norm, node, addition, modules):
            continue
        parent, _, name = norm.target.rpartition(".")
        made = BatchNormAct2d.of(modules[norm.target], *activation)
        setattr(fused.get_submodule(parent), name, made)
        with graph.inserting_before(node):
            inputs: Any = norm.args if residual is None else (*norm.args, residual)
            whole = graph.call_module(norm.target, inputs)
        node.replace_all_uses_with(whole)
        for gone in (node, addition, norm):
            if gone is not None:
                graph.erase_node(gone)
    graph.lint()
    fused.delete_all_unused_submodules()
    _keep_order(fused, model)
    fused.recompile()
    return fused
