# SPDX-License-Identifier: MIT
"""PyTorch's batch norm on CPUs, several times as fast, and with the same bits for any number of
threads.

    import batchnorm.torch

    batchnorm.torch.convert(model)  # every nn.BatchNorm1d, 2d and 3d; nothing else changes
    batchnorm.torch.restore(model)  # and back

What is not done here, such as other devices, runs as before. Needs PyTorch 2.10 or later.
"""

from batchnorm.torch._fused import BatchNormAct2d, fuse
from batchnorm.torch._layers import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    LazyBatchNorm1d,
    LazyBatchNorm2d,
    LazyBatchNorm3d,
    convert,
    converted,
    restore,
)
from batchnorm.torch._sync import SyncBatchNorm

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "BatchNormAct2d",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "SyncBatchNorm",
    "convert",
    "converted",
    "fuse",
    "restore",
]
