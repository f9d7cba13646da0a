# SPDX-License-Identifier: MIT
from typing import Any

from torch import Tensor, nn

def begin(tensors: tuple[Any, ...], apply: Any, /) -> None: ...
def layer(
    module: nn.Module,
    x: Any,
    ranks: int,
    residual: Tensor | None,
    activation: tuple[int, float] | None,
    group: tuple[Any, ...] | None,
    /,
) -> Any: ...
def backward(
    dy: Tensor,
    x: Tensor,
    z: Tensor | None,
    y: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    done: tuple[Any, ...],
    wanted: tuple[bool, ...],
    /,
) -> Any: ...
def double_backward(
    vx: Tensor | None,
    vweight: Tensor | None,
    vbias: Tensor | None,
    dy: Tensor,
    x: Tensor,
    weight: Tensor | None,
    done: tuple[Any, ...],
    /,
) -> Any: ...
def channels_last(tensor: Any, /) -> bool | None: ...
def unwatched() -> bool: ...
