# SPDX-License-Identifier: MIT
"""Contenders take turns. The first one of a line is ours; results are compared with its before anything is timed."""
import gc
import statistics

import numpy as np

import waiting

BACK_TO_BACK = 16 << 20  # bytes of x
TOLERANCE = {"f32": 1e-3, "f64": 1e-9, "bf16": 0.07, "f16": 0.01}  # torch and oneDNN sum rows in float


def compare(line, slack=1):
    """{name: largest difference of y or dx from ours}; ends the program where one is too large, by slack times TOLERANCE."""
    expected, differences = line[0].results(), {}
    allowed = slack * TOLERANCE[line[0].keep.case.dtype]
    for contender in line[1:]:
        if contender.role == "limit":
            continue
        for name, values in contender.results().items():
            difference = float(np.abs(values - expected[name]).max())
            if not difference <= allowed * max(1, float(np.abs(expected[name]).max()) / 8):
                raise SystemExit(f"{contender.name}: {name} differs from batchnorm's by {difference:.2g}")
            if name in ("y", "dx"):
                differences[contender.name] = difference
    return differences


def measure(line, seconds):
    """The medians of the seconds of one call, and the quartiles. A row of calls begins with one that is not timed."""
    in_a_row = line[0].keep.case.bytes < BACK_TO_BACK
    first = [min(contender.seconds(1) for _ in range(2)) for contender in line]
    calls = [max(1, min(2000, int(2e-3 / time))) for time in first] if in_a_row else [1] * len(line)
    turn_seconds = sum(time * (count + in_a_row) for time, count in zip(first, calls))
    rounds = max(7, min(101, int(seconds / turn_seconds)))
    times = [[] for _ in line]
    shared = waiting.are_shared()
    gc.disable()
    for turn in range(rounds):
        for place in range(len(line)):
            which = (turn + place) % len(line)
            if not shared:
                waiting.until_others_sleep()
            if in_a_row:
                line[which].seconds(max(1, calls[which] // 10))
            times[which].append(line[which].seconds(calls[which]))
    gc.enable()
    return {contender.name: statistics.quantiles(values, n=4) for contender, values in zip(line, times)}, rounds


def duration(seconds):
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"
