# SPDX-License-Identifier: MIT
"""Batch normalization on CPUs: PyTorch's layers for NumPy, and what is faster for PyTorch itself."""

from batchnorm._core import get_num_threads, isa, set_num_threads, version

__version__ = version()
__all__ = ["__version__", "get_num_threads", "isa", "set_num_threads"]
