# SPDX-License-Identifier: MIT
"""Batch normalization on CPUs: PyTorch's layers for NumPy, and a faster one for PyTorch."""

from batchnorm._core import get_num_threads, isa, set_num_threads, version
from batchnorm._functions import Statistics, batch_norm, statistics
from batchnorm._layers import BatchNorm1d, BatchNorm2d, BatchNorm3d
from batchnorm._models import fold, inspect
from batchnorm._parameters import Parameter

__version__ = version()
__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Parameter",
    "Statistics",
    "__version__",
    "batch_norm",
    "fold",
    "get_num_threads",
    "inspect",
    "isa",
    "set_num_threads",
    "statistics",
]
