# SPDX-License-Identifier: MIT
"""What layers give out: parameters, and what became of the keys of a state."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batchnorm import _core


class Parameter(np.ndarray):
    """A parameter of a layer: an array that shares the layer's memory, with its gradient.

    What is computed from it is an ordinary array.
    """

    _layer: _core.Layer | None = None
    _name: str = ""
    _grad: NDArray[Any] | None = None

    @classmethod
    def _of(cls, layer: _core.Layer, name: str) -> Parameter | None:
        memory = layer.memory(name)
        if memory is None:
            return None
        made = np.asarray(memory).view(cls)
        made._layer, made._name = layer, name
        made._grad = np.asarray(layer.memory(name + ".grad"))
        return made

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        if isinstance(array, Parameter) and array._layer is not None:
            return array  # what was changed in place
        return array[()] if return_scalar or array.ndim == 0 else np.asarray(array)

    @property
    def grad(self) -> NDArray[Any] | None:
        """The gradient that the last backward left, in the layer's memory; zeros at first."""
        return self._grad

    @property
    def requires_grad(self) -> bool:
        """Whether backward computes the gradient; False freezes the parameter."""
        return self._layer is not None and self._layer.options()[self._name + "_grad"]

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self._layer is None:
            raise AttributeError(
                "only a parameter of a layer has a gradient, and not what was made of it"
            )
        self._layer.set(**{self._name + "_grad": wanted})


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class IncompatibleKeys(_Keys):
    """What `load_state_dict(strict=False)` passed over."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__
