# SPDX-License-Identifier: MIT
"""What a layer is given: numbers of the constructor, settings, values."""

from __future__ import annotations

import math
import operator
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np


def _check_number(name: str, value: Any, or_none: str = "") -> None:
    if not isinstance(value, (SupportsFloat, SupportsIndex)):
        raise TypeError(f"{name} must be a number{or_none}, not {type(value).__name__}")


def check_setting(name: str, value: Any) -> None:
    """Refuse at once what PyTorch refuses in forward, and a momentum that would spoil the
    statistics.
    """
    if name == "eps":
        _check_number(name, value)
    elif name == "momentum" and value is not None:
        _check_number(name, value, " or None")
        if math.isnan(value):
            raise ValueError("momentum must not be NaN")


def check_features(number: Any) -> None:
    """Refuse what is no number of channels; the library refuses negative ones."""
    if isinstance(number, bool) or not isinstance(number, SupportsIndex):
        raise TypeError(f"num_features must be an integer, not {type(number).__name__}")
    if not -(1 << 63) <= operator.index(number) < 1 << 63:
        raise ValueError(f"num_features does not fit 64 bits (got {number})")


def check_values(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Refuse what is not an array of this shape: numbers are not repeated to fill one."""
    if isinstance(value, np.ndarray) and hasattr(value, "mask"):
        raise TypeError(f"{name} cannot be a masked array: masks are not heeded")
    if isinstance(value, (str, bytes)) or (shape and np.ndim(value) == 0):
        raise TypeError(
            f"cannot assign '{type(value).__name__}' as '{name}' "
            f"(an array of the shape {shape} or None expected)"
        )
    if np.shape(value) != shape:
        raise ValueError(f"{name} has the shape {shape}, not {np.shape(value)}")


def entry(value: Any) -> Any:
    """A value of a state as an array that the library reads, or refuses."""
    if hasattr(value, "mask") or (
        hasattr(value, "__dlpack__") and not isinstance(value, (np.ndarray, np.generic))
    ):
        return value
    array = np.asarray(value)
    return array.astype(np.int64) if array.dtype.kind in "iub" else array


def has_numbers(array: Any) -> bool:
    """Whether it is no array of words, dates or objects."""
    return getattr(getattr(array, "dtype", None), "kind", "f") not in "OSUmM"
