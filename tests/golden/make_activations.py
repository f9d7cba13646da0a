#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes activations.txt: what PyTorch gives for every activation of batchnorm.h in float64, and for its derivative. Run with

    python3 make_activations.py > activations.txt

A line is WORD V Y SLOPE, with hexadecimal floats. A slope is 0.01 and a ceiling 6. Infinities are left out: PyTorch's formulas
multiply them by zero."""

import os
import re

import torch
import torch.nn.functional as F

NAMED = {"identity": lambda v: v * 1,
         "clipped_relu": lambda v: F.hardtanh(v, 0.0, 6.0), "sigmoid": torch.sigmoid}
SIZES = [0, 1e-310, 1e-20, 0.001, 0.1, 0.5, 1, 1.28, 2, 2.999, 3, 3.001, 5, 6, 7, 10, 20, 33.3, 36.5, 40, 50, 100, 350, 370,
         500, 708, 720, 740, 745, 760, 1e4, 1e300]

header = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../include/batchnorm/batchnorm.h")
with open(header, encoding="utf-8") as file:
    words = re.findall(r'^    X\([A-Z_0-9]+, "(\w+)", [A-Z]+, (?:true|false)\)', file.read(), re.MULTILINE)
print(f"# By make_activations.py with PyTorch {torch.__version__.split('+')[0]}")
for word in words:
    v = torch.tensor(sorted({sign * size for size in SIZES for sign in (-1, 1)}), dtype=torch.float64, requires_grad=True)
    y = NAMED.get(word, getattr(F, word, None))(v)
    (slope,) = torch.autograd.grad(y.sum(), v)
    for numbers in zip(v.tolist(), y.tolist(), slope.tolist()):
        print(word, *(number.hex() for number in numbers))
