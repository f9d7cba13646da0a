# SPDX-License-Identifier: MIT
"""What needs no layer: `batch_norm`, and statistics as a value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from batchnorm import _core


def batch_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> NDArray[Any]:
    """`torch.nn.functional.batch_norm`: normalize `x`, (N, C, ...).

    x has up to 8 dimensions. With `training` by the statistics of x, and running_mean and
    running_var, where they are there, move towards them in their own memory; otherwise by
    running_mean and running_var. Parameters and running statistics are float32, or float64 with an
    x of float64. What is after the channels of x is copied if it cannot be told by one stride.
    """
    return _core.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)


class Statistics:
    """Count, mean and variance of each channel of data that come in pieces, in double.

    Their result does not lose digits to a large mean, and pieces that were seen elsewhere can be
    merged: `merge` takes what another thread or process has, after `pickle` if need be. Merging in
    the same order gives the same bits.
    """

    def __init__(self, num_features: int | None = None) -> None:
        self._values: NDArray[np.float64] | None = None
        if num_features is not None:
            self._values = np.zeros((num_features, 3))

    def update(self, x: Any) -> Statistics:
        """Add the values of `x`, of the shape (N, C, ...)."""
        if self._values is None:
            values = np.zeros((x.shape[1] if len(x.shape) > 1 else 0, 3))
            _core.stats_accumulate(values, x)
            self._values = values
        else:
            _core.stats_accumulate(self._values, x)
        return self

    def merge(self, other: Statistics) -> Statistics:
        """Add what another has seen."""
        if other._values is None:
            return self
        if self._values is None:
            self._values = np.zeros_like(other._values)
        _core.stats_merge(self._values, other._values)
        return self

    def _finish(self, correction: float, eps: float = 0.0) -> list[NDArray[np.float64]]:
        """Mean, variance and 1 / sqrt(var + eps)."""
        values = np.zeros((0, 3)) if self._values is None else self._values
        out = np.empty(3 * len(values))
        _core.stats_finish(values, correction, eps, out)
        return np.split(out, 3)

    @property
    def num_features(self) -> int | None:
        """The number of channels; None before the first update."""
        return None if self._values is None else len(self._values)

    @property
    def count(self) -> NDArray[np.float64]:
        """How many values each channel has seen."""
        return np.zeros(0) if self._values is None else self._values[:, 0].copy()

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean of each channel; NaN where it has seen nothing."""
        return self._finish(0)[0]

    @property
    def var(self) -> NDArray[np.float64]:
        """The variance, by which a channel is normalized: the squares' sum divided by count."""
        return self._finish(0)[1]

    def variance(self, correction: float = 1) -> NDArray[np.float64]:
        """That sum divided by count - correction: with 1 it is what running_var averages."""
        return self._finish(correction)[1]

    def rstd(self, eps: float = 1e-5) -> NDArray[np.float64]:
        """1 / sqrt(var + eps)."""
        return self._finish(0, eps)[2]

    def __repr__(self) -> str:
        if self._values is None:
            return "Statistics()"
        seen = self.count.max(initial=0)
        return f"Statistics({self.num_features}, count={seen:.0f})"


def statistics(x: Any) -> Statistics:
    """The statistics of `x`, of the shape (N, C, ...)."""
    return Statistics().update(x)
