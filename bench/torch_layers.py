#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Layers and a network, converted by batchnorm.torch, beside PyTorch's own: both in one process, in
turns, on the same threads, which are PyTorch's.

    torch_layers.py [--seconds S] [--only WORD] [--threads N] [--cpu]

Prints a table: the median time of each, and how many times as fast the converted one is.
"""

import argparse
import copy
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator

# A heap that keeps its pages: otherwise a large result takes the kernel's time to clear them.
HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
if __name__ == "__main__" and any(os.environ.get(key) != value for key, value in HEAP.items()):
    os.environ.update(HEAP)
    os.execv(sys.executable, [sys.executable, *sys.argv])

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import batchnorm.torch
import waiting


class Block(nn.Module):
    """Two convolutions and what goes past them."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.past = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.past = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """relu(bn(conv(relu(bn(conv(x))))) + past(x))"""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.past(x))


class ResNet18(nn.Module):
    """He et al. 2016, with 18 layers."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn = nn.BatchNorm2d(64)
        blocks, channels = [], 64
        for stage in range(4):
            for i in range(2):
                blocks.append(Block(channels, 64 << stage, 2 if stage and not i else 1))
                channels = 64 << stage
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images."""
        y = F.max_pool2d(F.relu(self.bn(self.conv(x))), 3, 2, 1)
        return self.fc(self.blocks(y).mean((2, 3)))


# What measures: the wall clock, or with --cpu the process's time.
clock: Callable[[], float] = time.perf_counter


def in_turns(calls: list[Callable[[], object]], seconds: float) -> list[float]:
    """Median seconds of each call; they take turns, so that what slows the machine down slows all
    of them.
    """
    for call in calls:
        call()
        call()
    began = clock()
    times: list[list[float]] = [[] for _ in calls]
    while clock() - began < seconds or len(times[0]) < 3:
        for call, mine in zip(calls, times):
            start = clock()
            call()
            mine.append(clock() - start)
    return [statistics.median(mine) for mine in times]


def many(call: Callable[[], object], count: int) -> Callable[[], None]:
    """A call that is long enough for the clock."""

    def loop() -> None:
        for _ in range(count):
            call()

    return loop


def step(layer: nn.Module, x: Tensor, dy: Tensor) -> Callable[[], None]:
    """Training forward and backward of a layer."""

    def run() -> None:
        x.grad = None
        layer.zero_grad()
        layer(x).backward(dy)

    return run


def fixed(seconds: float, _: int) -> Iterator[tuple[str, float, float]]:
    """What a call costs when there is nearly nothing to compute."""
    theirs = nn.BatchNorm2d(16)
    ours = batchnorm.torch.convert(copy.deepcopy(theirs))
    x, count = torch.randn(1, 16, 7, 7), 200
    needs, dy = x.clone().requires_grad_(), torch.randn(1, 16, 7, 7)
    with torch.no_grad():
        a, b = in_turns([many(lambda: theirs(x), count), many(lambda: ours(x), count)], seconds)
        yield "fixed cost, no_grad", a / count, b / count
    a, b = in_turns([many(lambda: theirs(needs), count), many(lambda: ours(needs), count)], seconds)
    yield "fixed cost, forward", a / count, b / count
    a, b = in_turns(
        [many(step(theirs, needs, dy), count), many(step(ours, needs, dy), count)], seconds
    )
    yield "fixed cost, forward and backward", a / count, b / count
    theirs.eval(), ours.eval()
    with torch.no_grad():
        a, b = in_turns([many(lambda: theirs(x), count), many(lambda: ours(x), count)], seconds)
        yield "fixed cost, evaluation", a / count, b / count


def layers(seconds: float, _: int) -> Iterator[tuple[str, float, float]]:
    """(32, 64, 56, 56), training, forward and backward."""
    theirs = nn.BatchNorm2d(64)
    ours = batchnorm.torch.convert(copy.deepcopy(theirs))
    for name, order in (
        ("planar", torch.contiguous_format),
        ("channels-last", torch.channels_last),
    ):
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(32, 64, 56, 56, dtype=dtype).to(memory_format=order)
            dy = torch.randn_like(x)
            x.requires_grad_()
            a, b = in_turns([step(theirs, x, dy), step(ours, x, dy)], seconds)
            yield f"(32, 64, 56, 56) {name}, {str(dtype)[6:]}", a, b


def training(seconds: float, side: int) -> Iterator[tuple[str, float, float]]:
    """A step of a ResNet-18 at batch 32: forward, backward, SGD."""
    labels = torch.randint(0, 1000, (32,))
    for name, order in (
        ("planar", torch.contiguous_format),
        ("channels-last", torch.channels_last),
    ):
        x = torch.randn(32, 3, side, side).to(memory_format=order)
        theirs = ResNet18().to(memory_format=order)
        ours = batchnorm.torch.convert(copy.deepcopy(theirs))
        fused = batchnorm.torch.convert(batchnorm.torch.fuse(copy.deepcopy(theirs)))
        steps = []
        for network in (theirs, ours, fused):
            optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

            def train(network=network, optimizer=optimizer, x=x) -> None:
                optimizer.zero_grad()
                F.cross_entropy(network(x), labels).backward()
                optimizer.step()

            steps.append(train)
        a, b, c = in_turns(steps, seconds)
        yield f"ResNet-18, {side} x {side}, {name}", a, b
        yield f"ResNet-18, {side} x {side}, {name}, fused", a, c


def processor() -> str:
    """The processor's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each line")
    parser.add_argument("--only", choices=("fixed", "layers", "training"))
    parser.add_argument("--side", type=int, default=112, help="of the network's images")
    parser.add_argument("--threads", type=int, help="of PyTorch")
    parser.add_argument(
        "--cpu", action="store_true", help="time of CPUs, where the machine is busy"
    )
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.cpu:
        global clock
        clock = time.process_time
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {processor()}")
    print(f"threads wait: {waiting.choice(os.environ)}; both sides have PyTorch's")
    print(f"{'':52} {'PyTorch':>10} {'converted':>10} {'times':>6}")
    for part in (fixed, layers, training):
        if options.only in (None, part.__name__):
            for name, theirs, ours in part(options.seconds, options.side):
                unit, scale = ("us", 1e6) if theirs < 1e-3 else ("ms", 1e3)
                print(
                    f"{name:52} {theirs * scale:7.1f} {unit} {ours * scale:7.1f} {unit}"
                    f" {theirs / ours:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
