# SPDX-License-Identifier: MIT
"""The ranks of a group, started by test_torch_sync.py: torch_rank.py RANKS STORE OUT CASE"""

import multiprocessing
import sys

import torch
import torch.distributed as dist
from torch import nn

import batchnorm.torch

# How many samples of 24 each rank has.
CUTS = {1: [24], 2: [16, 8], 3: [8, 0, 16], 4: [4, 8, 0, 12]}


def whole(order=torch.contiguous_format, dtype=torch.float32):
    """A batch, and a gradient of what becomes of it."""
    source = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(24, 6, 5, 3, generator=source) * 3 + 7 for _ in range(2))
    return x.to(dtype).to(memory_format=order), dy.to(dtype).to(memory_format=order)


def network():
    """Two layers with a convolution between them."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1), batchnorm.torch.BatchNorm2d(6)
    )


def layers(rank, ranks, grain):
    """Results of three steps of one layer, for both memory orders."""
    results = []
    for order in (torch.contiguous_format, torch.channels_last):
        layer = nn.Sequential(nn.BatchNorm2d(6))
        layer = batchnorm.torch.SyncBatchNorm.convert_sync_batchnorm(layer, grain=grain)
        x, dy = whole(order)
        begin = sum(CUTS[ranks][:rank])
        part = slice(begin, begin + CUTS[ranks][rank])
        for _ in range(3):
            mine = x[part].clone().requires_grad_()
            layer.zero_grad()
            y = layer(mine)
            y.backward(dy[part])
            with torch.no_grad():
                layer[0].weight.add_(0.25), layer[0].bias.sub_(0.5)
            results.append(
                (y.detach(), mine.grad, layer[0].weight.grad * ranks, layer[0].bias.grad * ranks)
            )
        results.append(tuple(tensor.clone() for tensor in layer[0].buffers()))
        layer.eval()
        results.append((layer(x[part]).detach(),))
    return results


def distributed(rank, ranks, _):
    """Gradients of DistributedDataParallel, whose loss is the mean over the whole batch."""
    model = batchnorm.torch.SyncBatchNorm.convert_sync_batchnorm(network())
    parallel = nn.parallel.DistributedDataParallel(model)
    x, _ = whole()
    part = x[rank * 24 // ranks : (rank + 1) * 24 // ranks]
    parallel(part).square().mean().backward()
    return [
        tuple(parameter.grad for parameter in model.parameters()),
        tuple(b.clone() for b in model.buffers()),
    ]


def errors(rank, ranks, _):
    """What each rank is told of calls that do not agree, and of too few values."""
    told = []
    layer = batchnorm.torch.SyncBatchNorm(6)
    before = [tensor.clone() for tensor in layer.buffers()]
    for x in (
        torch.ones(1 if rank == 0 else 0, 6, 1, 1),
        torch.ones(2, 6 if rank == 0 else 6, 2, 2).to(
            torch.float32 if rank == 0 else torch.bfloat16
        ),
    ):
        try:
            layer(x)
            told.append("nothing")
        except (ValueError, RuntimeError) as error:
            told.append(f"{type(error).__name__}: {error}")
    assert all(torch.equal(a, b) for a, b in zip(before, layer.buffers()))
    y = layer(torch.ones(2, 6, 2, 2))  # and then all goes on
    return [*told, y.shape]


def grains(rank, ranks, grain):
    """What each rank is told of parts that do not fit a grain, and what it does alone."""
    layer = batchnorm.torch.SyncBatchNorm(6, grain=grain)
    told = []
    for counts in ((5, 8), (3, 0), (8, 5)):
        try:
            layer(torch.randn(counts[rank], 6, 2, 2))
            told.append("nothing")
        except ValueError as error:
            told.append(str(error))
    x = torch.full((4, 6, 2, 2), rank + 1.0)
    layer.eval()(x).sum().backward()
    return told, layer.bias.grad, int(layer.num_batches_tracked)


def run(rank, ranks, store, out, case):
    """Run a case as one rank, and save what it returns."""
    torch.set_num_threads(1 + rank % 2)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=ranks)
    name, _, grain = case.partition(":")
    torch.save(globals()[name](rank, ranks, int(grain or 0)), f"{out}.{rank}")
    dist.barrier()
    dist.destroy_process_group()


def main():
    """All ranks from one process, because importing PyTorch takes them longer than all else."""
    ranks = int(sys.argv[1])
    fork = multiprocessing.get_context("fork")
    started = [fork.Process(target=run, args=(r, ranks, *sys.argv[2:])) for r in range(ranks)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    sys.exit(any(process.exitcode != 0 for process in started))


if __name__ == "__main__":
    main()
