# SPDX-License-Identifier: MIT
"""nn.BatchNorm2d: what a layer holds, and what eval() and train() change.

With PyTorch it is the same program, and begins with

    from torch import nn, rand
"""

import numpy as np

import batchnorm as nn


def rand(*shape):
    return np.random.default_rng(1).random(shape, np.float32)


layer = nn.BatchNorm2d(16)
x = rand(1, 16, 7, 7)
print(layer)
print("weight:", layer.weight)
print("bias:", layer.bias)


def step():
    y = layer(x)
    print(f"training {layer.training}: mean of y in channel 0: {y[0, 0].mean():.5f}", end="   ")
    print(f"running_mean[0]: {layer.running_mean[0]:.5f}   batches: {layer.num_batches_tracked}")


step()
print(vars(layer).keys() >= {"training", "eps", "momentum"})
layer.eval()  # y from the running statistics, which stay as they are
step()
step()
layer.train()  # y from the batch's statistics; the running ones move again
step()
