#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Time libbatchnorm, PyTorch and oneDNN in one process on the same arrays, beside a copy of the same bytes. The file is long
because measuring, judging and printing share one description of a case.

    make bench                                    # installs what it needs, builds, and runs this
    bench/peers.py --quick --threads 1            # less of everything
    bench/peers.py --dtype bf16,f16               # the short types against f32
    bench/peers.py --errors                       # how far y is from the exact result
    make bench-map                                # --map: torch alone, over many more shapes; those where it is faster
    bench/peers.py --map --only resnet,tiny       # a part of them: words of sorts, of shapes (32x64), of layouts
    bench/peers.py --map --again map.json --seconds 3    # what was slow in a run with --json map.json, for longer

How it measures. Contenders take turns, one call each, in an order that rotates; where x is smaller than 16 MB, each makes
several calls in a row instead, since stores that bypass the caches would throw out what the next contender has there. Mostly
one OpenMP serves all of them, with the same threads; where there are several, a turn begins when all threads sleep, since
they spin for a while after their work. The numbers are medians. GB/s counts the bytes that must move at least: x once in and
y once out forward; x and dy in, dx out backward. The limit is the better of two copies of just these bytes, with normal and
with non-temporal stores, in the same turns with the same threads; the share is the time of that copy by the time of
batchnorm. Results are compared before anything is timed. torch is called from Python, the others from a loop in C, which
matters for small shapes; there batchnorm is timed from Python too.

Layouts: nchw and nhwc (channels-last) for any number of sizes, nc for (N, C), where both are the same; blocked is oneDNN's
own nChw16c, with data that are in it already. A ratio above 1 says that batchnorm is faster; `4.9/6.5 no` is a ratio, what is
aimed at, and whether that is met. oneDNN is there in two versions, the installed one and the one in torch, and the ratio is to
the faster of them. The one in torch is called from Python too, and takes about 20 us a call.

The map has no table of everything but those cases that are below 1.1, the worst first, how many reach 1.0, and the geometric
mean of all. Its sorts are those of SHAPES in shape_map.py; "fused" are calls with a residual and ReLU, which are one call of
batchnorm and three of torch. It takes about three minutes for a type with one thread, and has f64, too.
"""
import argparse
import ctypes
import glob
import json
import math
import os
import pathlib
import platform
import subprocess
import sys

# A heap that keeps its pages: otherwise torch's time for a large result is the kernel's time to clear pages.
HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
if __name__ == "__main__" and any(os.environ.get(key) != value for key, value in HEAP.items()):
    os.environ.update(HEAP)
    os.execv(sys.executable, [sys.executable] + sys.argv)

import numpy as np  # noqa: E402

import contenders  # noqa: E402
import picture  # noqa: E402
import shape_map  # noqa: E402
import turns  # noqa: E402
import waiting  # noqa: E402
from contenders import torch  # noqa: E402
from turns import duration  # noqa: E402

LARGE = [(32, 64, 112, 112), (32, 64, 56, 56), (32, 256, 56, 56), (32, 512, 28, 28), (32, 1024, 14, 14), (32, 2048, 7, 7)]
SMALL = [(128, 512), (100, 16, 784), (1, 16, 7, 7)]
QUICK = [(32, 64, 56, 56), (32, 512, 28, 28), (32, 2048, 7, 7)] + SMALL

# What is aimed at: by how many times to be faster than a peer, and the share of the limit.
SMALL_TRAINING = {(128, 512): {"torch": 2, "plain": 1.3, "blocked": 1.3},
                  (100, 16, 784): {"torch": 10, "plain": 5, "blocked": 1.3},
                  (1, 16, 7, 7): {"torch": 8, "plain": 1.7, "blocked": 1.3}}
PLANAR_TRAINING = [(28 * 28, {"torch": 6.5, "plain": 4.5, "blocked": 1.4, "limit": 0.80}),
                   (14 * 14, {"torch": 6.5, "plain": 5.5, "blocked": 1.3, "limit": 0.70}),
                   (0, {"torch": 7.5, "plain": 5.5, "blocked": 1.05, "limit": 0.60})]


def is_zen4():
    """Zen 4 has less to give to rows: its share of the limit is aimed lower."""
    family, model = (int(cpuinfo(key) or 0) for key in ("cpu family", "model"))
    return family == 25 and (0x10 <= model <= 0x1F or 0x60 <= model <= 0x7F or 0xA0 <= model <= 0xAF)


def targets(size, layout, op, dtype):
    """{role: ratio or share}"""
    if dtype != "f32":
        return {"f32": 1.8} if 2 * math.prod(size) > last_level_cache() else {}
    rows = layout == "nhwc"
    if op == "train" and size in SMALL_TRAINING:
        return SMALL_TRAINING[size]
    if op == "train" and rows:
        goal = {"torch": 1.7, "plain": 1.3, "limit": 0.55 if is_zen4() else 0.65}
    elif op == "train":
        goal = next(goal for plane, goal in PLANAR_TRAINING if math.prod(size[2:]) >= plane)
    elif op == "eval":
        goal = {"torch": 1.3, "plain": 1.0 if rows else 2.5, "blocked": 1.0, "limit": 0.95}
    elif rows:
        goal = {"torch": 1.4, "plain": 1.15, "limit": 0.5 if is_zen4() else 0.55}
    else:
        goal = {"torch": 1.9, "plain": 5, "blocked": 1.15, "limit": 0.70}
    return {role: value for role, value in goal.items() if role != "limit" or size not in SMALL}


# The machine


def cpuinfo(key):
    with open("/proc/cpuinfo", encoding="ascii") as info:
        return next((line.split(":", 1)[1].strip() for line in info if line.split("\t")[0].strip() == key), None)


def caches():
    """{"L1d": "32K", ...} of the first CPU."""
    found = {}
    for index in sorted(glob.glob("/sys/devices/system/cpu/cpu0/cache/index*")):
        level, kind, size = (pathlib.Path(index, name).read_text("ascii").strip() for name in ("level", "type", "size"))
        found[f"L{level}{'' if kind == 'Unified' else kind[0].lower()}"] = size
    return found


def last_level_cache():
    sizes = [int(size[:-1]) * 1024 for size in caches().values() if size.endswith("K")]
    return max(sizes, default=32 << 20)


def machine(batchnorm, helper):
    compiler = subprocess.run([os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True, check=True)
    return {
        "CPU": f"{cpuinfo('model name') or platform.machine()} (family {cpuinfo('cpu family')}, model {cpuinfo('model')}), "
               f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} CPUs",
        "caches": ", ".join(f"{name} {size}" for name, size in caches().items()),
        "system": f"{platform.system()} {platform.release()}, {compiler.stdout.splitlines()[0]}, "
                  f"Python {platform.python_version()}, numpy {np.__version__}",
        "batchnorm": f"{batchnorm.batchnorm_version().decode()}, {batchnorm.batchnorm_isa().decode()}",
        "torch": f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}" if torch else "skipped: not installed",
        "oneDNN": f"{contenders.debian_onednn(helper) or 'skipped: no libdnnl to link with'} (installed), "
                  f"{contenders.torch_onednn() or 'skipped'} (in torch)",
        "threads wait": f"{waiting.choice(os.environ)}; "
                        f"{'all sides have the same' if waiting.are_shared() else 'a turn begins when all sleep'}",
    }


# Measuring


def measure_row(tools, case, wide, layout, op, threads, seconds):
    """Everything about one line of the table."""
    line = contenders.line_up(*tools, case, layout, op, threads, wide)
    differences = turns.compare(line)
    if case.size in SMALL:
        line.append(contenders.ours_from_python(*tools, line[0]))
    quartiles, rounds = turns.measure(line, seconds)
    times = {name: values[1] for name, values in quartiles.items()}
    best = {}
    for contender in line:
        best[contender.role] = min(best.get(contender.role, math.inf), times[contender.name])
    ratios = {role: time / best["ours"] for role, time in best.items() if role not in ("ours", "limit")}
    goals = {role: goal for role, goal in targets(case.size, layout, op, case.dtype).items() if role in best}
    reached = {**ratios, "limit": best["limit"] / best["ours"]}
    return {"size": case.size, "dtype": case.dtype, "layout": layout, "op": op, "threads": threads, "rounds": rounds,
            "bytes": case.bytes * (3 if op == "backward" else 2), "seconds": times, "best": best, "quartiles": quartiles,
            "reached": reached, "targets": goals, "met": {role: reached[role] >= goal for role, goal in goals.items()},
            "differences": differences,
            "implementations": {each.name: each.implementation for each in line if hasattr(each, "implementation")}}


# The report


# {role: what a column is called}
AGAINST = {"f32": {"torch": "torch", "plain": "oneDNN", "blocked": "blocked"}, "short": {"f32": "own f32", "torch": "torch"}}


def with_target(row, role):
    """`4.9/6.5 no`: reached, aimed at, met or not."""
    if role not in row["reached"]:
        return "-"
    reached = f"{row['reached'][role]:.2f}"
    if role not in row["targets"]:
        return reached
    return f"{reached}/{row['targets'][role]:.4g} {'yes' if row['met'][role] else 'no'}"


def layout_name(row):
    return "nc" if len(row["size"]) == 2 else row["layout"]


def cells(row):
    rate = row["bytes"] * 1e-9
    against = AGAINST["f32" if row["dtype"] == "f32" else "short"]
    return [str(row["size"]), layout_name(row), row["op"], str(row["threads"]), duration(row["best"]["ours"]),
            f"{rate / row['best']['ours']:.1f}", f"{rate / row['best']['limit']:.1f}", with_target(row, "limit"),
            *(duration(row["best"][role]) if role in row["best"] else "-" for role in against),
            *(with_target(row, role) for role in against)]


def header(dtype):
    against = AGAINST["f32" if dtype == "f32" else "short"].values()
    return [f"x ({dtype})", "layout", "op", "threads", "batchnorm", "GB/s", "limit", "share", *against,
            *(f"vs {name}" for name in against)]


WIDTHS = (18, 6, 8, 7, 9, 5, 5, 12, 9, 9, 9, 13, 13, 13)


def aligned(row):
    return "  ".join(cell.ljust(width) if i < 3 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, WIDTHS)))


def markdown(rows, facts, command):
    """A line for each shape, layout and operation; the numbers of threads stand side by side. Without targets."""
    lines = [f"{name}: {text}  " for name, text in facts.items()] + [f"command: `{command}`", ""]
    threads = list(dict.fromkeys(row["threads"] for row in rows))
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        against = AGAINST["f32" if dtype == "f32" else "short"]
        head = [f"x ({dtype})", "layout", "op"]
        for count in threads:
            head += [f"threads: {count}", "of a copy", *(f"vs {name}" for name in against.values())]
        lines += ["| " + " | ".join(head) + " |", "|---|---|---|" + "---:|" * (len(head) - 3)]
        of_this_type = [row for row in rows if row["dtype"] == dtype]
        lines += ["| " + " | ".join(line) + " |" for line in side_by_side(of_this_type, against)] + [""]
    return "\n".join(lines + [*from_python(rows)]) + "\n"


def side_by_side(rows, against):
    lines = {}
    for row in rows:
        key = (str(row["size"]), layout_name(row), row["op"])
        numbers = [f"{row['reached'][role]:.2f}" if role in row["reached"] else "-" for role in ["limit", *against]]
        lines.setdefault(key, list(key)).extend([duration(row["best"]["ours"]), *numbers])
    return lines.values()


def from_python(rows):
    """What small calls cost where Python makes them."""
    for row in rows:
        if "python" in row["best"]:
            yield (f"batchnorm {row['size']} {row['dtype']} {row['op']}, threads {row['threads']}: "
                   f"{duration(row['best']['python'])} from Python, {duration(row['best']['ours'])} from C  ")


def summary(rows):
    """How many targets are met, what a call from Python costs, and how far apart the results are."""
    met = [met for row in rows for met in row["met"].values()]
    lines = [f"{sum(met)} of {len(met)} targets met."] + [line.strip() for line in from_python(rows)]
    worst = {}
    for row in rows:
        for name, difference in row["differences"].items():
            worst[name] = max(worst.get(name, 0), difference)
    return lines + [f"Largest difference of y or dx from batchnorm's: {name} {worst[name]:.1e}" for name in worst]


def run(arguments, tools):
    rows = []
    for dtype in arguments.dtype:
        print("\n" + aligned(header(dtype)), flush=True)
        for size in arguments.shapes:
            case = contenders.Case(size, dtype, dtype)
            wide = contenders.Case(size, "f32", dtype) if dtype != "f32" else None
            for layout in ["nchw", "nhwc"] if len(size) == 4 and size not in SMALL else ["nchw"]:
                for op in arguments.ops:
                    for threads in arguments.threads:
                        contenders.set_threads(tools[1], threads)
                        rows.append(measure_row(tools, case, wide, layout, op, threads, arguments.seconds))
                        print(aligned(cells(rows[-1])), flush=True)
    return rows


# How exact


def print_errors(helper):
    """The worst error of y in f32 with a mean far from 0, as docs/numerics.md cites it."""
    if not torch:
        raise SystemExit("--errors needs torch")
    print("\n| training forward of N(offset, 1), f32 | offset | batchnorm | torch |\n|---|---:|---:|---:|")
    for size, last in ((32, 64, 56, 56), False), ((32, 64, 56, 56), True), ((128, 512), False):
        layout = torch.channels_last if last else torch.contiguous_format
        for offset in 0, 100, 1e4, 1e6:
            torch.manual_seed(1)
            x = (torch.randn(size) + offset).contiguous(memory_format=layout)
            y = torch.empty_like(x)
            data = contenders.Data(n=size[0], c=size[1], h=x.numel() // (size[0] * size[1]), w=1, op=contenders.OPS["train"],
                                   layout=contenders.LAYOUTS["nhwc" if last else "nchw"], x=x.data_ptr(), y=y.data_ptr())
            status = helper.bench_ours(ctypes.byref(data))
            if status != 0:
                raise SystemExit(f"batchnorm_forward returned {status}")
            exact, theirs = (torch.nn.functional.batch_norm(t, None, None, training=True) for t in (x.double(), x))
            ours, theirs = ((out.double() - exact).abs().max().item() for out in (y, theirs))
            print(f"| {size}{' channels-last' if last else ''} | {offset:g} | {ours:.1e} | {theirs:.1e} |")


# The command line


def size_from(text):
    """`32x64x56x56`"""
    return tuple(int(part) for part in text.split("x"))


def parse():
    def listed(convert, allowed=None):
        def parse_list(text):
            values = [convert(part) for part in text.split(",")]
            if allowed and not set(values) <= set(allowed):
                raise argparse.ArgumentTypeError(f"choose from {', '.join(allowed)}")
            return values
        return parse_list

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default="build/libbatchnorm.so", help="build/libbatchnorm.so")
    parser.add_argument("--map", action="store_true", help="find the shapes where torch is faster")
    parser.add_argument("--only", type=listed(str), metavar="WORDS", help="with --map: cases that have one of these words")
    parser.add_argument("--again", metavar="FILE", help="with --map: those that were below 1.1 in this file of --json")
    parser.add_argument("--shapes", type=listed(size_from), help="such as 32x64x56x56,128x512; else nine shapes, or the map's")
    parser.add_argument("--ops", type=listed(str, contenders.OPS), default=list(contenders.OPS), help="train,eval,backward")
    parser.add_argument("--threads", type=listed(int), help="1,2; with --map 1")
    parser.add_argument("--dtype", type=listed(str, contenders.DTYPES), default=["f32"],
                        help="f32 (default), bf16, f16, f64 with --map")
    parser.add_argument("--seconds", type=float,
                        help="to spend on one line of the table; 3, or 0.5 with --quick, 0.25 with --map")
    parser.add_argument("--quick", action="store_true", help="fewer shapes, less time on each")
    parser.add_argument("--json", metavar="FILE", help="write everything that was measured")
    parser.add_argument("--markdown", metavar="FILE", help="write the table")
    parser.add_argument("--svg", metavar="FILE", help="draw how many times as fast as torch; needs gnuplot")
    parser.add_argument("--errors", action="store_true", help="time nothing; print the errors of y")
    arguments = parser.parse_args()
    if arguments.map and (arguments.errors or arguments.markdown or arguments.svg or arguments.quick):
        parser.error("--map goes without --errors, --markdown, --svg and --quick")
    if not arguments.map and (arguments.only or arguments.again or "f64" in arguments.dtype):
        parser.error("--only, --again and f64 go with --map")
    arguments.threads = arguments.threads or ([1] if arguments.map else [1, 2])
    arguments.shapes = arguments.shapes or (None if arguments.map else QUICK if arguments.quick else LARGE + SMALL)
    arguments.seconds = arguments.seconds or (0.25 if arguments.map else 0.5 if arguments.quick else 3)
    return arguments


def usable(threads):
    cpus = len(os.sched_getaffinity(0))
    for count in threads:
        if count > cpus:
            print(f"skipped: {count} threads, for this process may use {cpus} CPU{'s' if cpus > 1 else ''} only")
    return [count for count in threads if count <= cpus]


def main():
    arguments = parse()
    batchnorm = contenders.load_batchnorm(os.path.abspath(arguments.library))
    if torch:
        torch.set_grad_enabled(False)
    helper = contenders.load_helper(arguments.library)
    facts = machine(batchnorm, helper)
    for name, text in facts.items():
        print(f"{name}: {text}")
    if arguments.errors:
        return print_errors(helper)
    if arguments.map and not torch:
        raise SystemExit("--map needs torch")
    arguments.threads = usable(arguments.threads)
    if arguments.map:
        rows = shape_map.print_map((batchnorm, helper), arguments)
    else:
        rows = run(arguments, (batchnorm, helper))
        print("", *summary(rows), sep="\n")
    command = " ".join(["bench/peers.py"] + sys.argv[1:])
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"machine": facts, "command": command, "rows": rows}, file, indent=1)
    if arguments.markdown:
        with open(arguments.markdown, "w", encoding="utf-8") as file:
            file.write(markdown(rows, facts, command))
    if arguments.svg:
        picture.draw(rows, f"{facts['CPU']}; torch {facts['torch']}; {', '.join(arguments.dtype)}", arguments.svg)


if __name__ == "__main__":
    main()
