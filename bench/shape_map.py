# SPDX-License-Identifier: MIT
"""The map: the library beside torch over shapes of every sort, to find those where it is not the faster one. peers.py --map."""
import dataclasses
import json
import math
import sys
import time

import contenders
import turns
from turns import duration

# A word for each sort of shapes, by which --only finds them.
SHAPES = {
    "tiny": [(1, 16, 7, 7), (256, 512, 2, 2), (64, 2048, 1, 1), (256, 512, 3, 3), (256, 64, 4, 4)],
    "image": [(2, 3, 224, 224), (32, 3, 224, 224), (16, 1, 512, 512)],
    "features": [(32, 10), (128, 512), (8, 1000), (65536, 32), (1024, 4096)],
    "single": [(1, 64, 112, 112), (1, 64, 56, 56), (1, 256, 28, 28), (1, 512, 14, 14), (1, 2048, 7, 7)],
    "resnet": [(2, 2048, 7, 7), (8, 256, 56, 56), (32, 64, 112, 112), (32, 64, 56, 56), (32, 256, 56, 56), (32, 512, 28, 28),
               (32, 1024, 14, 14), (32, 2048, 7, 7), (50, 256, 56, 56)],
    "depthwise": [(8, 32, 112, 112), (8, 144, 56, 56), (16, 64, 147, 147), (4, 200, 17, 16), (32, 384, 8, 8), (4, 672, 14, 14),
                  (1, 960, 7, 7)],
    "cifar": [(64, 16, 32, 32), (128, 16, 32, 32), (128, 32, 16, 16), (128, 64, 8, 8)],
    "sequence": [(100, 16, 784), (32, 80, 1000), (16, 512, 100)],
}
FUSED = [(128, 512), (1, 64, 56, 56), (32, 64, 56, 56), (32, 256, 56, 56), (32, 512, 28, 28), (32, 2048, 7, 7),
         (64, 16, 32, 32), (128, 64, 8, 8)]
SHOWN_BELOW = 1.1
SLACK = 10  # torch adds up 1.6 million floats of a channel of rows: y is 3e-3 away from what it is in double


@dataclasses.dataclass(frozen=True)
class Place:
    """One case of the map."""
    group: str
    size: tuple
    fused: bool
    layout: str
    op: str

    @property
    def name(self):
        return f"{self.size} {self.layout} {self.op}{' + residual, relu' if self.fused else ''}"

    @property
    def words(self):
        """What --only looks for a word in."""
        return f"{self.group} {'x'.join(map(str, self.size))} {self.name}{' fused' if self.fused else ''}"


def places(shapes, ops, only):
    """All cases, those of one shape together. With one channel, or planes of one element, both layouts are the same."""
    sizes = [("asked", size) for size in shapes] if shapes else [(group, size) for group in SHAPES for size in SHAPES[group]]
    found = [Place(group, size, fused, layout, op) for group, size in sizes
             for fused in ([False, True] if shapes or size in FUSED else [False])
             for layout in (["nchw", "nhwc"] if size[1] > 1 and math.prod(size[2:]) > 1 else ["nc"]) for op in ops]
    return [place for place in found if not only or any(word in place.words for word in only)]


class Progress:
    """On a terminal one line, which says how many cases are done and how much time is left; elsewhere nothing."""

    def __init__(self, total, file=sys.stderr):
        self.total, self.file, self.start = total, file, time.monotonic()

    def _write(self, text):
        if self.file.isatty():
            self.file.write(f"\r\x1b[K{text}")
            self.file.flush()

    def show(self, done):
        left = f", {(time.monotonic() - self.start) / done * (self.total - done) / 60:.1f} min left" if done else ""
        self._write(f"{done} of {self.total} cases{left}")

    def close(self):
        self._write("")


def measure(tools, place, case, threads, seconds):
    layout = "nchw" if place.layout == "nc" else place.layout
    line = [contenders.ours(*tools, case, layout, place.op, threads), contenders.torch_contender(case, layout, place.op)]
    differences = turns.compare(line, SLACK)
    quartiles, rounds = turns.measure(line, seconds)
    ours, theirs = (quartiles[contender.name] for contender in line)
    return {**dataclasses.asdict(place), "name": place.name, "dtype": case.dtype, "threads": threads, "bytes": case.bytes,
            "rounds": rounds, "seconds": ours[1], "torch": theirs[1], "ratio": theirs[1] / ours[1],
            "quartiles": {"batchnorm": ours, "torch": theirs}, "differences": differences}


def run(tools, found, dtype, threads, seconds):
    """The rows of one type and number of threads."""
    contenders.set_threads(tools[1], threads)
    rows, case, progress = [], None, Progress(len(found))
    for place in found:
        progress.show(len(rows))
        if not case or (case.size, case.fused) != (place.size, place.fused):
            case = None  # what it has goes before the next one takes its place
            case = contenders.Case(place.size, dtype, dtype, place.fused)
        rows.append(measure(tools, place, case, threads, seconds))
    progress.close()
    return rows


def summary(rows):
    """`f32, 1 thread: 210 of 240 cases at 1.0 or more, geometric mean 2.31`, then the slow ones, worst first."""
    mean = math.exp(sum(math.log(row["ratio"]) for row in rows) / len(rows))
    reached = sum(row["ratio"] >= 1 for row in rows)
    threads = rows[0]["threads"]
    lines = [f"{rows[0]['dtype']}, {threads} thread{'s' if threads > 1 else ''}: {reached} of {len(rows)} cases at 1.0 "
             f"or more, geometric mean {mean:.2f}"]
    apart = max(rows, key=lambda row: row["differences"]["torch"])
    lines.append(f"largest difference of y or dx: {apart['differences']['torch']:.1e} in {apart['name']}")
    slow = sorted((row for row in rows if row["ratio"] < SHOWN_BELOW), key=lambda row: row["ratio"])
    if not slow:
        return lines + [f"none below {SHOWN_BELOW}"]
    width = max(len(row["name"]) for row in slow)
    lines.append(f"{'below ' + str(SHOWN_BELOW):{width}}  times as fast  batchnorm      torch")
    return lines + [f"{row['name']:{width}}  {row['ratio']:13.3f}  {duration(row['seconds']):>9}  {duration(row['torch']):>9}"
                    for row in slow]


def slow_before(path, dtype, threads):
    """The names of the cases that were shown in a run with --json."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)["rows"]
    return {row["name"] for row in rows if (row["dtype"], row["threads"]) == (dtype, threads) and row["ratio"] < SHOWN_BELOW}


def print_map(tools, arguments):
    """Everything that was asked for, in a table for each type and number of threads; its rows."""
    found, rows = places(arguments.shapes, arguments.ops, arguments.only), []
    if not found:
        raise SystemExit(f"no case has {' or '.join(arguments.only)}")
    for dtype in arguments.dtype:
        for threads in arguments.threads:
            which = found
            if arguments.again:
                names = slow_before(arguments.again, dtype, threads)
                which = [place for place in found if place.name in names]
                if not which:
                    print(f"\n{dtype}, threads {threads}: none in {arguments.again} is below {SHOWN_BELOW}")
                    continue
            part = run(tools, which, dtype, threads, arguments.seconds)
            print("", *summary(part), sep="\n", flush=True)
            rows += part
    return rows
