# SPDX-License-Identifier: MIT
"""The contenders of peers.py, in one long file because they are variations of one thing: the arrays that all of them work on,
how each one is called, and what came out of it.

An array is kept in one of three layouts: nchw (n, c, s), nhwc (n, s, c), and blocked (n, c/16, s, 16), which is oneDNN's own.
No contender is timed while it reorders data. What has a name in C is called in a loop in C; torch is called from Python.
"""
import ctypes
import functools
import math
import os
import re
import subprocess
import tempfile
import time

import numpy as np

try:
    import torch
except ImportError:
    torch = None

HERE = os.path.dirname(os.path.abspath(__file__))
LAYOUTS = {"nchw": 0, "nhwc": 1, "blocked": 2}
OPS = {"train": 0, "eval": 1, "backward": 2}
DTYPES = {"f32": 0, "f64": 1, "bf16": 2, "f16": 3}
STORAGE = {"f32": np.float32, "f64": np.float64, "bf16": np.uint16, "f16": np.float16}
EPS, MOMENTUM = 1e-5, 0.1


class Exec(ctypes.Structure):
    """batchnorm_exec"""
    _fields_ = [("size", ctypes.c_size_t), ("parallel_for", ctypes.c_void_p), ("user", ctypes.c_void_p),
                ("threads", ctypes.c_int), ("workspace", ctypes.c_void_p), ("workspace_bytes", ctypes.c_size_t),
                ("message", ctypes.c_void_p), ("message_bytes", ctypes.c_size_t)]


class Data(ctypes.Structure):
    """struct bench_data of helper.h"""
    _fields_ = [(name, ctypes.c_size_t) for name in "n c h w bytes".split()]
    _fields_ += [(name, ctypes.c_int) for name in "layout op threads dtype fused".split()]
    _fields_ += [(name, ctypes.c_void_p) for name in ("x dy z y dx dz weight bias running_mean running_var dweight dbias "
                                                      "mean var save_mean save_rstd exec").split()]


def load_batchnorm(path):
    library = ctypes.CDLL(path)
    library.batchnorm_version.restype = library.batchnorm_isa.restype = ctypes.c_char_p
    return library


def load_helper(batchnorm):
    """helper.c and, where it can be linked, onednn.c, compiled into a directory that is gone once they are loaded."""
    with tempfile.TemporaryDirectory() as directory:
        target = os.path.join(directory, "helper.so")
        command = [os.environ.get("CC", "cc"), "-std=c11", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared",
                   f"-I{HERE}/../include", f"{HERE}/helper.c", os.path.abspath(batchnorm), "-o", target]
        for more in [f"{HERE}/onednn.c", "-ldnnl"], []:
            done = subprocess.run(command + more, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
        else:
            raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
        helper = ctypes.CDLL(target)
    helper.has_onednn = bool(more)
    helper.bench_seconds.restype = ctypes.c_double
    helper.bench_seconds.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long]
    helper.bench_workspace.restype = helper.bench_call.restype = ctypes.c_size_t
    if helper.has_onednn:
        helper.onednn_new.restype = ctypes.c_void_p
        helper.onednn_implementation.restype = ctypes.c_char_p
        helper.onednn_implementation.argtypes = [ctypes.c_void_p]
    return helper


def debian_onednn(helper):
    """The version of the oneDNN that is installed, such as 2.6.3, or None."""
    if not helper.has_onednn:
        return None
    number = helper.onednn_version()
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def torch_onednn():
    """The version of the oneDNN in torch, or None."""
    found = torch and torch.backends.mkldnn.is_available() and re.search(r"MKL-DNN v([\d.]+)", torch.__config__.show())
    return found and found.group(1)


def set_threads(helper, threads):
    if torch:
        torch.set_num_threads(threads)
    helper.bench_threads(threads)


def encode(values, dtype):
    """float32 to the elements of a type, rounded to the nearest, ties to even."""
    if dtype != "bf16":
        return values.astype(STORAGE[dtype])
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def parameter_type(dtype):
    """Of weights and running statistics; numbers are compared in it, too."""
    return np.float64 if dtype == "f64" else np.float32


def decode(elements, dtype):
    """The numbers that elements stand for."""
    if dtype != "bf16":
        return elements.astype(parameter_type(dtype))
    return (elements.astype(np.uint32) << 16).view(np.float32)


def empty(shape, dtype):
    """An array that begins at a multiple of 64 bytes, as allocators of tensors give it."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start:start + size].view(dtype).reshape(shape)


class Case:
    """One shape and type: x, dy, y and dx in every layout that is asked for, the same for all contenders. Fused: y is
    relu(batch norm + z), and dz the gradient of z."""

    def __init__(self, size, dtype, rounded_to=None, fused=False):
        self.size, self.dtype, self.fused = size, dtype, fused
        self.n, self.c, self.s = size[0], size[1], math.prod(size[2:])
        self.h, self.w = (size[2:] + (1, 1))[:2]
        self.bytes = math.prod(size) * np.dtype(STORAGE[dtype]).itemsize
        random = np.random.default_rng(1)
        self.arrays = {}
        for name in ("x", "dy", "z") if fused else ("x", "dy"):
            values = random.standard_normal((self.n, self.c, self.s), np.float32)
            if rounded_to:
                values = decode(encode(values, rounded_to), rounded_to)
            self.arrays[name, "nchw"] = self._place(encode(values, dtype))
        self.parameters = {name: (random.random(self.c, np.float32) + np.float32(0.5)).astype(parameter_type(dtype))
                           for name in ("weight", "bias", "running_mean", "running_var")}

    @staticmethod
    def _place(values):
        array = empty(values.shape, values.dtype)
        array[...] = values
        return array

    def array(self, name, layout):
        if (name, layout) not in self.arrays:
            if name in ("y", "dx", "dz"):
                self.arrays[name, layout] = empty(self.arrays["x", "nchw"].shape, STORAGE[self.dtype])
            else:
                self.arrays[name, layout] = self._place(self._arrange(self.arrays[name, "nchw"], layout))
        return self.arrays[name, layout]

    def _arrange(self, planar, layout):
        if layout == "nhwc":
            return planar.transpose(0, 2, 1)
        return planar.reshape(self.n, self.c // 16, 16, self.s).transpose(0, 1, 3, 2)

    def planar(self, name, layout):
        """A copy of an array as numbers (n, c, s), to be compared."""
        array = self.array(name, layout)
        if layout == "nhwc":
            array = array.reshape(self.n, self.s, self.c).transpose(0, 2, 1)
        elif layout == "blocked":
            array = array.reshape(self.n, self.c // 16, self.s, 16).transpose(0, 1, 3, 2).reshape(self.n, self.c, self.s)
        return decode(np.ascontiguousarray(array), self.dtype).copy()


class InPython:
    """A contender that Python calls."""

    def __init__(self, name, role, call, results):
        self.name, self.role, self.call, self.results = name, role, call, results

    def seconds(self, calls):
        call = self.call
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls


class InC:
    """A contender that a loop in C calls: function(argument). `keep` is what the argument points into."""

    def __init__(self, name, role, helper, function, argument, results, keep):
        self.name, self.role, self.results, self.keep = name, role, results, keep
        self._seconds = functools.partial(helper.bench_seconds, ctypes.cast(function, ctypes.c_void_p), argument)

    def seconds(self, calls):
        seconds = self._seconds(calls)
        if seconds < 0:
            raise SystemExit(f"{self.name} failed")
        return seconds


class Problem:
    """The arguments of a contender in C: arrays that all share, and parameters, statistics and scratch of its own."""

    def __init__(self, helper, case, layout, op, threads):
        self.case, self.layout, self.op = case, layout, op
        self.own = {name: values.copy() for name, values in case.parameters.items()}
        self.own.update({name: np.zeros(case.c, parameter_type(case.dtype)) for name in ("dweight", "dbias", "mean", "var")})
        self.own.update({name: np.zeros(case.c, np.float64) for name in ("save_mean", "save_rstd")})
        self.exec = Exec(ctypes.sizeof(Exec), threads=threads)
        self.data = Data(n=case.n, c=case.c, h=case.h, w=case.w, bytes=case.bytes, layout=LAYOUTS[layout], op=OPS[op],
                         threads=threads, dtype=DTYPES[case.dtype], fused=case.fused, exec=ctypes.addressof(self.exec))
        for name, values in self.own.items():
            setattr(self.data, name, values.ctypes.data)
        for name in ("x", "dy", "y", "dx", "z", "dz") if case.fused else ("x", "dy", "y", "dx"):
            setattr(self.data, name, case.array(name, layout).ctypes.data)
        room = helper.bench_workspace(ctypes.byref(self.data))
        self.workspace = empty((room,), np.uint8)
        self.exec.workspace, self.exec.workspace_bytes = self.workspace.ctypes.data, room

    def arguments(self, helper):
        """Those of the function of batchnorm.h."""
        self.call = ctypes.create_string_buffer(helper.bench_call(ctypes.byref(self.data), None))
        helper.bench_call(ctypes.byref(self.data), self.call)
        return ctypes.byref(self.call), ctypes.byref(self.exec)

    def results(self, contender):
        """Run once; what came out, as numbers in nchw."""
        contender.seconds(1)
        names = {"train": ["running_mean", "running_var"], "eval": [], "backward": ["dweight", "dbias"]}[self.op]
        arrays = [name for name in ("dx", "dz") if name == "dx" or self.case.fused] if self.op == "backward" else ["y"]
        return {**{name: self.case.planar(name, self.layout) for name in arrays},
                **{name: self.own[name].copy() for name in names}}


def contender_in_c(name, role, helper, function, problem, argument=None):
    contender = InC(name, role, helper, function, argument or ctypes.addressof(problem.data), None, problem)
    contender.results = lambda: problem.results(contender)
    return contender


def save_statistics(helper, problem):
    """What a backward pass needs from the forward pass, in the form of batchnorm and in that of oneDNN."""
    problem.data.op = OPS["train"]
    if helper.bench_seconds(ctypes.cast(helper.bench_ours, ctypes.c_void_p), ctypes.addressof(problem.data), 1) < 0:
        raise SystemExit("the training forward failed")
    problem.data.op = OPS[problem.op]
    problem.own["mean"][:] = problem.own["save_mean"]
    problem.own["var"][:] = 1 / problem.own["save_rstd"] ** 2 - EPS


def ours(batchnorm, helper, case, layout, op, threads, role="ours"):
    problem = Problem(helper, case, layout, op, threads)
    save_statistics(helper, problem)
    for name in ("running_mean", "running_var"):
        problem.own[name][:] = case.parameters[name]
    return contender_in_c(f"batchnorm {case.dtype}", role, helper, helper.bench_ours, problem)


def ours_from_python(batchnorm, helper, contender):
    """The same call through ctypes, which is how Python would make it."""
    problem = contender.keep
    function = {"train": batchnorm.batchnorm_forward, "eval": batchnorm.batchnorm_infer,
                "backward": batchnorm.batchnorm_backward}[problem.op]
    arguments = problem.arguments(helper)
    return InPython("batchnorm from Python", "python", lambda: function(*arguments), None)


def copies(batchnorm, helper, case, layout, op, threads):
    """The fewest bytes that the operation can move, with two kinds of stores. The results are checked here."""
    problem = Problem(helper, case, layout, op, threads)
    both = [contender_in_c("copy", "limit", helper, helper.bench_copy, problem),
            contender_in_c("copy, non-temporal", "limit", helper, helper.bench_copy_streaming, problem)]
    x, dy, y, dx = (case.array(name, layout).view(np.uint8).ravel() for name in ("x", "dy", "y", "dx"))
    out, expected = (dx, x ^ dy) if op == "backward" else (y, x)
    for contender in both:
        out.fill(0xAA)
        contender.seconds(1)
        if not np.array_equal(out, expected):
            raise SystemExit(f"{contender.name} is wrong")
    return both


def onednn(batchnorm, helper, case, layout, op, threads):
    """The installed oneDNN; None where it has nothing for the shape."""
    # The statistics come from the layout that batchnorm has too; they are the same numbers.
    source = Problem(helper, case, "nhwc" if layout == "nhwc" else "nchw", op, threads)
    save_statistics(helper, source)
    problem = Problem(helper, case, layout, op, threads)
    for name in ("mean", "var"):
        problem.own[name][:] = source.own[name]
    run = helper.onednn_new(ctypes.byref(problem.data))
    if not run:
        return None
    role = "blocked" if layout == "blocked" else "plain"
    contender = contender_in_c(f"oneDNN {debian_onednn(helper)} {layout}", role, helper, helper.onednn_execute, problem, run)
    contender.implementation = helper.onednn_implementation(run).decode()
    return contender


def as_torch(array, case, layout):
    tensor = torch.from_numpy(array)
    tensor = tensor.view(torch.bfloat16) if case.dtype == "bf16" else tensor
    if layout == "nchw":
        return tensor.view(case.size)
    return tensor.view(case.n, case.h, case.w, case.c).permute(0, 3, 1, 2)


def as_onednn(tensor, case, layout):
    """Opaque to torch. An identity convolution is what brings data into oneDNN's own blocked layout, as in a network."""
    tensor = tensor.reshape(case.n, case.c, case.h, case.w).to_mkldnn()
    if layout != "blocked":
        return tensor
    return torch.ops.aten.mkldnn_convolution(tensor, torch.ones(case.c, 1, 1, 1), None, [0, 0], [1, 1], [1, 1], case.c)


def torch_contender(case, layout, op, inside=None):
    """torch; with inside "nchw" or "blocked", the oneDNN in torch. Fused: the lines that a user would write."""
    x, dy = (as_torch(case.array(name, layout), case, layout) for name in ("x", "dy"))
    name, role = "torch", "torch"
    if inside:
        x, dy = (as_onednn(tensor, case, inside) for tensor in (x, dy))
        name, role = f"oneDNN {torch_onednn()} {inside}", "plain" if inside == "nchw" else "blocked"
    weight, bias, mean, var = (torch.from_numpy(values.copy()) for values in case.parameters.values())
    normalize, gradient = torch.ops.aten.native_batch_norm, torch.ops.aten.native_batch_norm_backward
    _, saved_mean, saved_rstd = normalize(x, weight, bias, mean.clone(), var.clone(), True, MOMENTUM, EPS)

    def forward(training):
        if inside:  # torch.nn.functional.batch_norm would do the same after more work in Python
            return normalize(x, weight, bias, mean, var, training, MOMENTUM, EPS)[0]
        return torch.nn.functional.batch_norm(x, mean, var, weight, bias, training, MOMENTUM, EPS)

    def backward(dy=dy):
        return gradient(dy, x, weight, mean, var, saved_mean, saved_rstd, True, EPS, [True] * 3)

    call = {"train": lambda: forward(True), "eval": lambda: forward(False), "backward": backward}[op]
    if case.fused and op == "backward":
        # The gates are read from our y, so that a v next to 0, rounded otherwise, is no difference.
        y, gate = as_torch(case.array("y", layout), case, layout), torch.ops.aten.threshold_backward

        def call():
            dz = gate(dy, y, 0)
            return *backward(dz), dz
    elif case.fused:
        z, plain = as_torch(case.array("z", layout), case, layout), call

        def call():
            return plain().add_(z).relu_()

    def dense(tensor):
        tensor = tensor.to_dense() if tensor.is_mkldnn else tensor
        tensor = tensor if case.dtype == "f64" else tensor.float()
        return tensor.contiguous().numpy().reshape(case.n, case.c, case.s)

    def results():
        out = call()
        if op == "backward":
            return {"dx": dense(out[0]), "dweight": out[1].numpy(), "dbias": out[2].numpy(),
                    **({"dz": dense(out[3])} if case.fused else {})}
        running = {"running_mean": mean.numpy().copy(), "running_var": var.numpy().copy()} if op == "train" else {}
        return {"y": dense(out), **running}

    return InPython(name, role, call, results)


def peers_of_f32(batchnorm, helper, case, layout, op, threads):
    """oneDNN in every version and layout there is beside `layout`. The one in torch turns nhwc into nchw first: left out."""
    blocks = layout == "nchw" and case.c % 16 == 0
    found = []
    if helper.has_onednn:
        found += [onednn(batchnorm, helper, case, which, op, threads) for which in [layout] + ["blocked"] * blocks]
    if torch_onednn() and layout == "nchw":
        found += [torch_contender(case, layout, op, inside) for inside in ["nchw"] + ["blocked"] * blocks]
    return [contender for contender in found if contender]


def line_up(batchnorm, helper, case, layout, op, threads, wide=None):
    """All contenders for one measurement, ours first. `wide` is the same case in f32, for the types that take less room."""
    found = [ours(batchnorm, helper, case, layout, op, threads)]
    if wide:
        found.append(ours(batchnorm, helper, wide, layout, op, threads, "f32"))
    if torch:
        found.append(torch_contender(case, layout, op))
    if case.dtype == "f32":
        found += peers_of_f32(batchnorm, helper, case, layout, op, threads)
    return found + copies(batchnorm, helper, case, layout, op, threads)
