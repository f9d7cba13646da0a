#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Time libbatchnorm against torch in one process: the same inputs, interleaved, medians.

    python3 bench/compare_torch.py [--library build/libbatchnorm.so] [--rounds 15]
    python3 bench/compare_torch.py --errors

Prints one Markdown table. `copy` is a copy of the same bytes by torch: x to y for the forwards, dy + x to dx for backward. No
run can be much faster than that on data that does not fit the cache. --errors prints how far y is from the exact result.
"""
import argparse
import ctypes
import os
import platform
import statistics
import sys
import time

# A heap that keeps its pages: otherwise torch's time for large outputs is the kernel's time to clear pages.
HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
if any(os.environ.get(key) != value for key, value in HEAP.items()):
    os.environ.update(HEAP)
    os.execv(sys.executable, [sys.executable] + sys.argv)

import torch  # noqa: E402

SHAPES = [((32, 64, 56, 56), False), ((32, 64, 56, 56), True), ((32, 256, 14, 14), False), ((32, 256, 14, 14), True),
          ((128, 512), False), ((100, 16, 784), False), ((1, 16, 7, 7), False)]
F32, PYTORCH = 0, 0


class Shape(ctypes.Structure):
    _fields_ = [("outer", ctypes.c_size_t), ("channels", ctypes.c_size_t), ("inner", ctypes.c_size_t), ("dtype", ctypes.c_int),
                ("strides", ctypes.c_ssize_t * 18)]


class Exec(ctypes.Structure):
    _fields_ = [("parallel_for", ctypes.c_void_p), ("user", ctypes.c_void_p), ("threads", ctypes.c_int),
                ("workspace", ctypes.c_void_p), ("workspace_bytes", ctypes.c_size_t)]


def load(path):
    library = ctypes.CDLL(path)
    for name in "batchnorm_planar", "batchnorm_channels_last":
        getattr(library, name).restype = Shape
        getattr(library, name).argtypes = [ctypes.c_int] + [ctypes.c_size_t] * 3
    library.batchnorm_workspace_bytes.restype = ctypes.c_size_t
    library.batchnorm_version.restype = library.batchnorm_isa.restype = ctypes.c_char_p
    return library


def address(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


def call(function, *arguments):
    """A call without Python work but the call itself."""
    def run():
        if function(*arguments) != 0:
            raise SystemExit(f"{function.__name__} failed")
    return run


def competitors(library, size, last, threads):
    """{operation: [batchnorm, torch, copy]}; the results of the first two are compared before anything is timed."""
    torch.manual_seed(1)
    layout = torch.channels_last if last else torch.contiguous_format
    x, dy = (torch.randn(size).contiguous(memory_format=layout) for _ in range(2))
    y, dx, out = torch.empty_like(x), torch.empty_like(x), torch.empty_like(x)
    n, c, s = size[0], size[1], x.numel() // (size[0] * size[1])
    weight, bias, mean, var, dweight, dbias = (torch.rand(c) + 0.5 for _ in range(6))
    save_mean, save_rstd = torch.zeros(c, dtype=torch.double), torch.zeros(c, dtype=torch.double)

    shape = (library.batchnorm_channels_last if last else library.batchnorm_planar)(F32, n, c, s)
    room = max(library.batchnorm_workspace_bytes(ctypes.byref(shape), operation) for operation in (1, 2, 3))
    workspace = ctypes.create_string_buffer(room + 64)
    how = Exec(None, None, threads, ctypes.cast(workspace, ctypes.c_void_p), room)
    shape_p, how_p = ctypes.byref(shape), ctypes.byref(how)
    keep = (shape, how, workspace, y, dx, dweight, dbias, save_mean, save_rstd)  # the calls hold addresses only
    ours = {
        "training forward": call(library.batchnorm_forward, shape_p, address(x), address(weight), address(bias), address(y),
                                 address(mean), address(var), address(save_mean), address(save_rstd), None, how_p),
        "eval forward": call(library.batchnorm_infer, shape_p, address(x), address(weight), address(bias), address(mean),
                             address(var), address(y), None, None, None, how_p),
        "backward": call(library.batchnorm_backward, shape_p, address(x), address(dy), address(weight), address(save_mean),
                         address(save_rstd), address(dx), address(dweight), address(dbias), 0, how_p),
    }
    forward, gradient = torch.nn.functional.batch_norm, torch.ops.aten.native_batch_norm_backward
    _, saved, rstd = torch.ops.aten.native_batch_norm(x, weight, bias, mean.clone(), var.clone(), True, 0.1, 1e-5)
    theirs = {
        "training forward": lambda: forward(x, mean, var, weight, bias, True),
        "eval forward": lambda: forward(x, mean, var, weight, bias, False),
        "backward": lambda: gradient(dy, x, weight, mean, var, saved, rstd, True, 1e-5, [True, True, True])[0],
    }
    copies = {"training forward": lambda: out.copy_(x), "eval forward": lambda: out.copy_(x),
              "backward": lambda: torch.add(dy, x, out=out)}
    for operation in ours:
        ours[operation]()
        if not torch.allclose(dx if operation == "backward" else y, theirs[operation](), atol=1e-3):
            raise SystemExit(f"{size} {operation}: the results differ")
    return {operation: [ours[operation], theirs[operation], copies[operation]] for operation in ours}, keep


def sample(run, repeats):
    """Seconds of one call. The pause lets the other side's idle threads stop spinning; the first call is not timed."""
    time.sleep(0.01)
    run()
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def measure(runs, rounds):
    repeats = [max(1, min(200, int(2e-3 / sample(run, 3)))) for run in runs]
    times = [[sample(run, repeat) for run, repeat in zip(runs, repeats)] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times)]


def worst_error(y, x):
    exact = torch.nn.functional.batch_norm(x.double(), None, None, training=True)
    return (y.double() - exact).abs().max().item()


def errors(library):
    print("| training forward of N(offset, 1), f32 | offset | batchnorm | torch |")
    print("|---|---:|---:|---:|")
    for size, last in ((32, 64, 56, 56), False), ((32, 64, 56, 56), True), ((128, 512), False):
        layout = torch.channels_last if last else torch.contiguous_format
        make = library.batchnorm_channels_last if last else library.batchnorm_planar
        for offset in 0, 100, 1e4, 1e6:
            torch.manual_seed(1)
            x = (torch.randn(size) + offset).contiguous(memory_format=layout)
            y = torch.empty_like(x)
            shape = make(F32, size[0], size[1], x.numel() // (size[0] * size[1]))
            call(library.batchnorm_forward, ctypes.byref(shape), address(x), None, None, address(y), *[None] * 6)()
            theirs = torch.nn.functional.batch_norm(x, None, None, training=True)
            print(f"| {size}{' channels-last' if last else ''} | {offset:g} | {worst_error(y, x):.1e} | {worst_error(theirs, x):.1e} |")


def processor():
    with open("/proc/cpuinfo", encoding="ascii") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith(("model name", "cpu family", "model\t"))]
    return ", ".join(names[:3])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default="build/libbatchnorm.so")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--errors", action="store_true")
    arguments = parser.parse_args()
    library = load(os.path.abspath(arguments.library))
    torch.set_grad_enabled(False)
    print(f"CPU (family, model, name): {processor()}; {os.cpu_count()} CPUs; {platform.system()} {platform.release()}")
    print(f"batchnorm {library.batchnorm_version().decode()} ({library.batchnorm_isa().decode()}), torch {torch.__version__} "
          f"({torch.backends.cpu.get_cpu_capability()}), Python {platform.python_version()}\n")
    if arguments.errors:
        return errors(library)
    print(f"microseconds, median of {arguments.rounds}\n")
    print("| x (f32) | operation | batchnorm, 1 thread | torch | ratio | copy | batchnorm, 2 threads | torch | ratio | copy |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for size, last in SHAPES:
        rows = {}
        for threads in 1, 2:
            torch.set_num_threads(threads)
            operations, keep = competitors(library, size, last, threads)
            for operation, runs in operations.items():
                ours, torchs, copy = (1e6 * t for t in measure(runs, arguments.rounds))
                rows.setdefault(operation, []).append(f"{ours:.1f} | {torchs:.1f} | {torchs / ours:.1f} | {copy:.1f}")
            del keep
        for operation, cells in rows.items():
            print(f"| {size}{' channels-last' if last else ''} | {operation} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
