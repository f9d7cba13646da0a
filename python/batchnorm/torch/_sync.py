# SPDX-License-Identifier: MIT
"""Synchronized batch norm on CPUs, over torch.distributed."""

from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor, nn

from batchnorm import _torch
from batchnorm.torch._functions import even
from batchnorm.torch._layers import BatchNorm1d, BatchNorm2d, BatchNorm3d

# Bits for 2 to 8 dimensions.
_RANKS = 0b111111100
_SOURCES = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    nn.SyncBatchNorm,
)


class _Transport:
    """Gathers bytes from all ranks of a process group: one collective, and a second one while
    messages grow.
    """

    def __init__(self, group: Any) -> None:
        self.group = group
        self.rank, self.ranks = dist.get_rank(group), dist.get_world_size(group)
        self.calls = 0
        self._room = 0  # for a message; the same on all ranks, because all see all sizes

    def _all_gather(self, message: Tensor) -> list[Tensor]:
        received = [torch.empty_like(message) for _ in range(self.ranks)]
        dist.all_gather(received, message, group=self.group)
        return received

    def gather(self, data: bytes) -> tuple[bytes, tuple[int, ...]]:
        """Return what all ranks gave, one after the other, and how much each gave."""
        self.calls += 1
        message = torch.zeros(8 + self._room, dtype=torch.uint8)
        message[:8] = torch.tensor([len(data)]).view(torch.uint8)
        mine = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        if len(data) <= self._room:
            message[8 : 8 + len(data)] = mine
        received = self._all_gather(message)
        sizes = [int(each[:8].view(torch.int64)) for each in received]
        parts = [each[8:] for each in received]
        if max(sizes) > self._room:
            self._room = max(sizes)
            message = torch.zeros(self._room, dtype=torch.uint8)
            message[: len(data)] = mine
            parts = self._all_gather(message)
        whole = b"".join(part[:size].numpy().tobytes() for part, size in zip(parts, sizes))
        return whole, tuple(sizes)

    def first_sample(self, samples: int, grain: int) -> int:
        """How many samples the ranks before this one have; all of them raise if one has a part that
        does not fit the grain.
        """
        counts = [int(each) for each in self._all_gather(torch.tensor(samples))]
        for rank, count in enumerate(counts):
            if count % grain and any(counts[rank + 1 :]):
                near = count - count % grain
                raise ValueError(
                    f"every rank's part but the last must be a multiple of the grain, {grain} "
                    f"samples: rank {rank} of {self.ranks} has {count}, where {near} or "
                    f"{near + grain} would do"
                )
        return sum(counts[: self.rank])


_transports: WeakKeyDictionary[Any, _Transport] = WeakKeyDictionary()


def _transport(group: Any) -> _Transport:
    group = dist.group.WORLD if group is None else group
    if group not in _transports:
        _transports[group] = _Transport(group)
    return _transports[group]


def _check_grain(grain: Any) -> None:
    if isinstance(grain, bool) or not isinstance(grain, int):
        raise TypeError(f"grain must be a number of samples, an int (got {type(grain).__name__})")
    if grain < 0:
        raise ValueError(f"grain must not be negative (got {grain}); 0 is none")


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """nn.SyncBatchNorm for tensors of CPUs: statistics of the whole batch, whose parts the ranks of
    a group have.

    Statistics travel in double, and counts with them: parts may have different sizes, also none.
    Running statistics are equal bit by bit on all ranks. With a `grain` (samples, which every
    rank's part but the last must be a multiple of) y and the gradient of x have the same bits for
    any number of ranks; otherwise they are equal up to rounding.

    The gradients of weight and bias are those of the whole batch divided by the number of ranks, on
    every rank the same. That is what averaging over the ranks, as DistributedDataParallel does,
    makes of PyTorch's own, which are each rank's. There are no second derivatives. In evaluation
    mode, as in PyTorch, every rank is on its own: nothing is sent, and the gradients of weight and
    bias are those of its part. It is no nn.SyncBatchNorm, because DistributedDataParallel refuses
    those on CPUs.
    """

    process_group: Any
    grain: int

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
        *,
        grain: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, **kwargs
        )
        _check_grain(grain)
        self.process_group, self.grain = process_group, grain

    def forward(self, input: Tensor) -> Tensor:
        """As nn.SyncBatchNorm, but on CPUs."""
        if input.device.type != "cpu":
            raise ValueError(
                "batchnorm.torch.SyncBatchNorm is for CPUs "
                f"(got a tensor on {input.device}); see nn.SyncBatchNorm"
            )
        self._check_input_dim(input)
        return self._synchronized(input) if self.training else self._alone(input)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def _alone(self, input: Tensor) -> Tensor:
        """Without other ranks: evaluation, or a group of one."""
        if not torch.compiler.is_compiling():
            group = (None, 0, 1, 0, self.grain, 0) if self.grain and self.training else None
            y = _torch.layer(self, even(input), _RANKS, None, None, group)
            if y is not NotImplemented:
                return y
        return super().forward(input)

    @torch.compiler.disable
    def _synchronized(self, input: Tensor) -> Tensor:
        transport = (
            _transport(self.process_group)
            if dist.is_available() and dist.is_initialized()
            else None
        )
        if transport is None or transport.ranks == 1:
            return self._alone(input)
        first = transport.first_sample(input.shape[0], self.grain) if self.grain else 0
        group = (
            transport.gather,
            transport.rank,
            transport.ranks,
            transport.calls,
            self.grain,
            first,
        )
        y = _torch.layer(self, even(input), _RANKS, None, None, group)
        if y is not NotImplemented:
            return y
        raise RuntimeError(
            "SyncBatchNorm takes plain tensors of floating point numbers, and parameters of "
            f"their type or float32 (got {input.dtype})"
        )

    @classmethod
    def convert_sync_batchnorm(
        cls, module: nn.Module, process_group: Any = None, grain: int = 0
    ) -> nn.Module:
        """Make a synchronized layer of every nn.BatchNorm1d, 2d and 3d in a model, converted or
        not, and of nn.SyncBatchNorm.

        Like convert(), it changes the class of layers that stay the same objects; subclasses are
        left alone. Returns the model.
        """
        _check_grain(grain)
        layer: Any
        for layer in module.modules():
            if type(layer) in _SOURCES:
                layer.__class__ = cls
                layer.process_group = process_group
                layer.grain = grain
        return module
