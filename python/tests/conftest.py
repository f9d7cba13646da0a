# SPDX-License-Identifier: MIT
"""What the tests share: a batch norm in long double, and arrays in every layout."""

import numpy as np
import pytest

WIDE = np.longdouble
# How far from the reference, relative to the largest value: a few roundings of the type.
BOUNDS = {"float64": 1e-14, "float32": 5e-7, "float16": 1e-3, "bfloat16": 8e-3}


class Reference:
    """Forward and backward in long double."""

    def __init__(self, x, weight=1, bias=0, eps=1e-5):
        self.axes = (0, *range(2, x.ndim))
        self.shape = (1, -1) + (1,) * (x.ndim - 2)
        wide = x.astype(np.float64).astype(WIDE)
        self.count = wide.size // wide.shape[1]
        self.mean, self.var = wide.mean(axis=self.axes), wide.var(axis=self.axes)
        self.rstd = 1 / np.sqrt(self.var + WIDE(eps))
        self.weight = np.broadcast_to(np.asarray(weight, WIDE), self.mean.shape)
        self.xhat = (wide - self.mean.reshape(self.shape)) * self.rstd.reshape(self.shape)
        self.y = self.xhat * self.weight.reshape(self.shape) + np.asarray(bias, WIDE).reshape(
            self.shape
        )

    def backward(self, dy):
        g = dy.astype(np.float64).astype(WIDE)
        self.bias_grad = g.sum(axis=self.axes)
        self.weight_grad = (g * self.xhat).sum(axis=self.axes)
        mean_g, mean_gx = (
            sums.reshape(self.shape) / self.count for sums in (self.bias_grad, self.weight_grad)
        )
        return (self.weight * self.rstd).reshape(self.shape) * (g - mean_g - self.xhat * mean_gx)


def assert_near(got, wanted, dtype=None, factor=1):
    bound = BOUNDS[np.dtype(dtype or got.dtype).name] * factor
    error = np.abs(np.asarray(got, np.float64).astype(WIDE) - wanted).max(initial=0)
    assert error <= bound * max(1, np.abs(wanted).max(initial=0)), f"{error} > {bound}"


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16"])
def dtype(request):
    if request.param == "bfloat16":
        return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    return np.dtype(request.param)


def parameters_of(dtype):
    """The type that a layer has for inputs of a type."""
    return np.float64 if dtype == np.float64 else np.float32


def pytest_sessionfinish(session, exitstatus):
    """A file of which every test lacks a module counts as skipped: status 77, as ctest knows it."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = 77
