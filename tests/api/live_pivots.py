#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the errors of mean, var and y in F64 with PyTorch's, live, on random configurations:

    python3 live_pivots.py build/libbatchnorm.so [COUNT [SEED]]

2 to 2^20 values of a channel, planes and channels-last, offsets to 1e8, outliers first, last and in the middle. What is
exact is computed in long double. An error may be twice PyTorch's and 4 units of 2^-53; that of var, which is taken from
running_var, has one unit more for the division by m - 1. Exit status 1 if one is larger.
"""

import ctypes as C
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

import live_torch as live

MEASURES = ("mean", "var", "y")
ALLOWED = (4, 5, 4)
LONG = np.longdouble


def configuration(r):
    """Returns x as (N, C, S) in the order of its layout, and its name."""
    m, c = int(2 ** r.uniform(1, 20)), int(r.integers(1, 4))
    s = m if r.random() < 0.4 else int(r.integers(1, m + 1))
    n = m // s
    if n * s < 2:
        return configuration(r)
    scale, place = 10.0 ** r.uniform(-2, 2), int(r.integers(0, 4))
    offset = r.choice([-1, 1]) * 10.0 ** r.uniform(-2, 8) if r.random() < 0.75 else 0.0
    x = offset + scale * r.standard_normal((n * s, c))
    outlier = r.choice([-1, 1]) * 10.0 ** r.uniform(0, 9)
    if place:
        x[{1: 0, 2: n * s - 1, 3: n * s // 2}[place]] = outlier
    rows = bool(r.random() < 0.5)
    x = torch.from_numpy(x.reshape(n, s, c)).permute(0, 2, 1)
    name = f"({n}, {c}, {s}) {'rows' if rows else 'planes'} offset {offset:g} scale {scale:g} outlier {place} {outlier:g}"
    return (x if rows else x.contiguous()), name


def ours(lib, x):
    """Returns mean, unbiased var and y."""
    n, c, s = x.shape
    y, mean, var = torch.empty_like(x), torch.zeros(c, dtype=torch.float64), torch.zeros(c, dtype=torch.float64)
    options = lib.batchnorm_convention(0)
    options.momentum = 1.0
    call = live.CALLS["forward"]()
    call.size, call.shape = C.sizeof(call), live.Shape(n, c, s, live.F64)
    for field, t in (("x", x), ("y", y)):
        setattr(call, field, live.Array(t.data_ptr(), live.Strides(*t.stride())))
    call.running_mean, call.running_var, call.options = mean.data_ptr(), var.data_ptr(), C.addressof(options)
    status = lib.batchnorm_forward(C.byref(call), None)
    if status != live.OK:
        raise RuntimeError(lib.batchnorm_status_string(status).decode())
    return mean, var, y


def torchs(x):
    c = x.shape[1]
    mean, var = torch.zeros(c, dtype=torch.float64), torch.zeros(c, dtype=torch.float64)
    x = x.unsqueeze(3)
    if x.stride(1) == 1:
        x = x.contiguous(memory_format=torch.channels_last)
    return mean, var, F.batch_norm(x, mean, var, training=True, momentum=1.0, eps=1e-5).squeeze(3)


def errors(result, exact, units):
    """Returns the largest error of each measure, in units, of each channel."""
    mean, var, y = (t.numpy().astype(LONG) for t in result)
    found = (abs(mean - exact[0]), abs(var - exact[1]), abs(y - exact[2]).max(axis=(0, 2)))
    return [np.asarray(e / u, dtype=float) for e, u in zip(found, units)]


def worst(lib, x):
    wide = x.numpy().astype(LONG)
    m = wide.shape[0] * wide.shape[2]
    mean = wide.mean(axis=(0, 2))
    d = wide - mean[:, None]
    square = (d * d).sum(axis=(0, 2))
    rstd = 1 / np.sqrt(square / m + LONG(1e-5))
    y = d * rstd[:, None]
    units = [LONG(2.0**-53) * u for u in (abs(mean) + np.sqrt(square / m), square / (m - 1),
                                          abs(y).max(axis=(0, 2)) + abs(mean) * rstd)]
    exact = (mean, square / (m - 1), y)
    return [float((a - 2 * b).max()) for a, b in zip(errors(ours(lib, x), exact, units), errors(torchs(x), exact, units))]


def main():
    if len(sys.argv) < 2 or not os.path.exists(sys.argv[1]):
        print(f"usage: {sys.argv[0]} PATH/libbatchnorm.so [COUNT [SEED]]")
        return 2
    if np.finfo(LONG).nmant < 63:
        print("skipped: long double is no longer than double here")
        return 77
    lib = live.open_library(os.path.abspath(sys.argv[1]))
    count, seed = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((2, 1000), (3, 1)))
    torch.set_num_threads(1)
    r, failures, most = np.random.default_rng(seed), 0, [0.0] * 3
    for _ in range(count):
        x, name = configuration(r)
        beyond = worst(lib, x)
        most = [max(a, b) for a, b in zip(most, beyond)]
        if any(b > a for a, b in zip(ALLOWED, beyond)):
            failures += 1
            print(f"{name}: " + ", ".join(f"{n} {b:.3g}" for n, b in zip(MEASURES, beyond)))
    beyond = ", ".join(f"{n} {b:.3g}" for n, b in zip(MEASURES, most))
    print(f"{count} configurations against torch {torch.__version__}: {failures} too bad; beyond twice its error: {beyond}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
