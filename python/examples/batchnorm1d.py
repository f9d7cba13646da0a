# SPDX-License-Identifier: MIT
"""nn.BatchNorm1d: one training step moves the running statistics towards those of the batch.

With PyTorch it is the same program, and begins with

    from torch import nn, rand
"""

import numpy as np

import batchnorm as nn


def rand(*shape):
    return np.random.default_rng(1).random(shape, np.float32)


layer = nn.BatchNorm1d(16)
x = rand(100, 16, 784)
y = layer(x)
print("running_mean:", layer.running_mean)
print("running_var:", layer.running_var)
