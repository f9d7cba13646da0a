#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares libbatchnorm with PyTorch, live, on random configurations:

    python3 live_torch.py build/libbatchnorm.so [COUNT [SEED]]

Every configuration is run by the raw calls or by the layer, through ctypes, and by PyTorch in float64, whose result is the
expected one; it gets contiguous copies, since PyTorch 2.15 returns wrong gradients for some strides with sizes of 1. The run in
the configuration's own types must agree with PyTorch's own, within PyTorch's rounding. Exit status 1 if something
differs. Long because ctypes needs every struct spelled out.
"""

import ctypes as C
import os
import sys
import warnings

import numpy as np
import torch
import torch.nn.functional as F

F32, F64, BF16, F16 = range(4)
TORCH = {F32: torch.float32, F64: torch.float64, BF16: torch.bfloat16, F16: torch.float16}
ROUNDING = {F32: 0.0, F64: 0.0, BF16: 2.0**-8, F16: 2.0**-11}  # of a result that is stored in the type
COMPUTED = {F32: 2.0**-24, F64: 2.0**-53, BF16: 2.0**-24, F16: 2.0**-24}
PYTORCH = {F32: 3e-4, F64: 1e-9, BF16: 4e-2, F16: 6e-3}  # PyTorch's own rounding, roughly
FROZEN, ACCUMULATE = 1, 2
OK = 0


class Strides(C.Structure):
    _fields_ = [(n, C.c_ssize_t) for n in ("outer", "channel", "inner")]


class Array(C.Structure):
    _fields_ = [("data", C.c_void_p), ("strides", Strides)]


class Shape(C.Structure):
    _fields_ = [("outer", C.c_size_t), ("channels", C.c_size_t), ("inner", C.c_size_t), ("dtype", C.c_int)]


class Exec(C.Structure):
    _fields_ = [("size", C.c_size_t), ("parallel_for", C.c_void_p), ("user", C.c_void_p), ("threads", C.c_int),
                ("workspace", C.c_void_p), ("workspace_bytes", C.c_size_t), ("message", C.c_char_p),
                ("message_bytes", C.c_size_t)]


class Options(C.Structure):
    _fields_ = [("size", C.c_size_t), ("eps", C.c_double), ("momentum", C.c_double), ("momentum_rule", C.c_int),
                ("running_variance", C.c_int), ("allow_one_value", C.c_bool), ("require_finite", C.c_bool),
                ("reserved", C.c_uint64 * 4)]


class Activation(C.Structure):
    _fields_ = [("kind", C.c_int), ("parameter", C.c_double)]


def call_struct(arrays, pointers, tail):
    """A struct of a raw call: its size, the shape, arrays with strides, pointers, and what follows them."""
    fields = ([("size", C.c_size_t), ("shape", Shape)] + [(n, Array) for n in arrays.split()] +
              [(n, C.c_void_p) for n in pointers.split()] + tail)
    return type("Call", (C.Structure,), {"_fields_": fields})


ACTS, FLAGS = ("activation", Activation), ("flags", C.c_uint)
CALLS = {
    "infer": call_struct("x z y", "weight bias mean var save_mean save_rstd", [ACTS, ("options", C.c_void_p)]),
    "forward": call_struct("x z y", "weight bias running_mean running_var save_mean save_rstd",
                           [ACTS, ("options", C.c_void_p)]),
    "backward": call_struct("x z y dy dx dz", "weight bias save_mean save_rstd dweight dbias", [ACTS, FLAGS]),
    "jvp": call_struct("x tx ty", "weight tweight tbias save_mean save_rstd", [FLAGS]),
    "double_backward": call_struct("x dy vx gx gdy", "weight vweight vbias save_mean save_rstd gweight", [FLAGS]),
}
# The kinds of BATCHNORM_ACTIVATION_LIST: parameter, and torch's function.
ACTIVATIONS = [
    (0.0, lambda v: v),
    (0.0, F.relu),
    (0.01, lambda v: F.leaky_relu(v, 0.01)),
    (6.0, F.relu6),
    (0.0, F.hardswish),
    (0.0, torch.sigmoid),
    (0.0, F.silu),
]


class Tensor(C.Structure):
    _fields_ = [("data", C.c_void_p), ("dtype", C.c_int), ("rank", C.c_int), ("shape", C.c_int64 * 8),
                ("stride", C.c_int64 * 8)]


class LayerOptions(C.Structure):
    _fields_ = [("size", C.c_size_t), ("dims", C.c_int), ("num_features", C.c_int64), ("convention", Options),
                ("cumulative", C.c_bool), ("affine", C.c_bool), ("bias", C.c_bool), ("track_running_stats", C.c_bool),
                ("lazy", C.c_bool), ("dtype", C.c_int), ("allocator", C.c_void_p), ("reserved", C.c_uint64 * 4)]


class Parameter(C.Structure):
    _fields_ = [("value", Tensor), ("grad", Tensor), ("requires_grad", C.c_bool)]


def open_library(path):
    lib = C.CDLL(path)
    pointer = C.c_void_p
    lib.batchnorm_convention.restype = Options
    lib.batchnorm_layer_defaults.restype = LayerOptions
    lib.batchnorm_layer_defaults.argtypes = [C.c_int, C.c_int64]
    lib.batchnorm_layer_weight.restype = lib.batchnorm_layer_bias.restype = C.POINTER(Parameter)
    lib.batchnorm_layer_num_batches_tracked.restype = C.POINTER(C.c_int64)
    lib.batchnorm_layer_running_mean.restype = lib.batchnorm_layer_running_var.restype = Tensor
    for name in ("weight", "bias", "num_batches_tracked", "running_mean", "running_var", "train", "eval", "destroy"):
        getattr(lib, "batchnorm_layer_" + name).argtypes = [pointer]
    lib.batchnorm_layer_forward.argtypes = [pointer, Tensor, Tensor, pointer, C.c_uint, pointer]
    lib.batchnorm_layer_backward.argtypes = [pointer, pointer, Tensor, Tensor, Tensor, C.c_uint, pointer]
    lib.batchnorm_layer_message.restype = C.c_char_p
    lib.batchnorm_layer_message.argtypes = [pointer]
    lib.batchnorm_status_string.restype = C.c_char_p
    lib.batchnorm_version.restype = lib.batchnorm_isa.restype = C.c_char_p
    return lib


def address(t):
    return None if t is None or t.numel() == 0 else t.data_ptr()


def view(t, dtype):
    out = Tensor(address(t), dtype, t.dim())
    for i in range(t.dim()):
        out.shape[i], out.stride[i] = t.shape[i], t.stride(i)
    return out


class Trial:
    """One random configuration."""

    def __init__(self, lib, seed):
        self.lib = lib
        self.r = np.random.default_rng(seed)
        r = self.r
        self.dtype = int(r.choice([F32, F32, F64, BF16, F16]))
        self.parameter = F64 if self.dtype == F64 else F32
        self.dims = int(r.integers(1, 4))
        self.rank = {1: int(r.integers(2, 4)), 2: 4, 3: 5}[self.dims]
        self.shape = self.random_shape()
        self.c = self.shape[1]
        self.training = bool(r.random() < 0.6)
        self.eps = float(10.0 ** r.uniform(-6, 0))
        self.momentum = float(r.choice([0.1, 0.0, 1.0, 0.37, 2.0, -0.5]))
        self.offset = float(r.choice([0.0, 0.0, 1.0, -3.0]))
        self.affine = bool(r.random() < 0.8)
        self.name = (f"seed {seed}: {'f32 f64 bf16 f16'.split()[self.dtype]} {tuple(self.shape)} "
                     f"{'train' if self.training else 'eval'} eps {self.eps:.3g} momentum {self.momentum}")
        self.failures = []

    def random_shape(self):
        r = self.r
        shape = [int(r.integers(1, 9)), int(r.choice([1, 2, 3, 5, 8, 16, 17, 33, 70]))]
        shape += [int(r.integers(1, 8)) for _ in range(self.rank - 2)]
        if np.prod(shape) // shape[1] == 1:
            shape[0] = 2
        return shape

    def layout(self, shape):
        """An empty tensor of the shape in a random memory layout without overlaps."""
        kind = int(self.r.integers(0, 6))
        dtype = TORCH[self.dtype]
        if kind == 1 and len(shape) == 4:
            return torch.empty(shape, dtype=dtype).to(memory_format=torch.channels_last)
        if kind == 2:  # some order of the dimensions
            order = self.r.permutation(len(shape))
            inverse = np.argsort(order)
            return torch.empty([shape[i] for i in order], dtype=dtype).permute(*inverse.tolist())
        if kind == 3:  # every second element of something larger
            return torch.empty([2 * s for s in shape], dtype=dtype)[tuple(slice(1, None, 2) for _ in shape)]
        if kind == 4:  # channels last of any rank
            return torch.empty([shape[0]] + shape[2:] + [shape[1]], dtype=dtype).movedim(-1, 1)
        return torch.empty(shape, dtype=dtype)

    def data(self, scale=1.0, offset=0.0):
        t = self.layout(self.shape)
        t.copy_(torch.tensor(self.r.standard_normal(self.shape) * scale + offset))
        if self.r.random() < 0.05:
            t = t[:1].expand(self.shape)
        return t

    def vector(self, positive=False):
        v = torch.tensor(self.r.standard_normal(self.c))
        return (v.abs() + 0.3 if positive else v).to(TORCH[self.parameter])

    def check(self, what, got, exact, scale, native=None):
        """got against exact: a rounding to its type, and a few of the type that is computed in, of the scale of its terms."""
        got, exact = got.detach().double(), exact.detach().double()
        stored = ROUNDING[self.dtype] if what.split()[-1] in ("y", "dx", "dz", "ty", "gx", "gdy") else 0.0
        twice = stored if what in ("gx", "fused dx") else 0.0  # a gated dy is rounded before it goes on
        bound = 1.02 * stored * exact.abs() + (24 * COMPUTED[self.dtype] + twice) * scale + 1e-7 * (self.dtype == F16)
        off = ((got - exact).abs() - bound).max() if got.numel() else torch.tensor(-1.0)
        if not off <= 0:
            self.failures.append(f"{self.name}: {what} is off by {float((got - exact).abs().max()):.3g}")
        if native is not None and native.numel():
            loose = PYTORCH[self.dtype] * max(1.0, float(exact.abs().max()), float(scale))
            if not (got - native.detach().double()).abs().max() <= loose:
                self.failures.append(f"{self.name}: {what} differs from PyTorch's own")

    def ok(self, status):
        if status != OK:
            raise RuntimeError(f"{self.name}: {self.lib.batchnorm_status_string(status).decode()}")

    def size(self, *tensors):
        """The magnitude of a product of terms, for tolerances; dominated by rstd for channels without spread."""
        return float(np.prod([max(1.0, float(t.detach().abs().max())) if t.numel() else 1.0 for t in tensors]))


class RawTrial(Trial):
    """batchnorm_infer, forward, backward, jvp, double_backward against torch.nn.functional.batch_norm in float64."""

    def run(self):
        self.shape = self.shape[:2] + [int(np.prod(self.shape[2:]))]
        strides = lambda t: Strides(t.stride(0), t.stride(1), t.stride(2))
        x, dy, vx = self.data(1.0, self.offset), self.data(), self.data()
        dx, y, gdy = (self.layout(self.shape) for _ in range(3))
        vx = torch.empty_strided(dx.shape, dx.stride(), dtype=dx.dtype).copy_(vx)
        dy = torch.empty_strided(gdy.shape, gdy.stride(), dtype=dy.dtype).copy_(dy)
        gx = torch.empty_strided(y.shape, y.stride(), dtype=y.dtype)
        w, b, tw, tb = self.vector(), self.vector(), self.vector(), self.vector()
        if not self.affine:
            w = b = None
        mean, var = self.vector(), self.vector(True)
        shape = Shape(self.shape[0], self.c, self.shape[2], self.dtype)
        options = self.lib.batchnorm_convention(0)
        options.eps, options.momentum = self.eps, self.momentum
        saved = torch.empty(2, self.c, dtype=torch.float64)
        rm, rv = mean.clone(), var.clone()
        exec_ = Exec(size=C.sizeof(Exec), threads=int(self.r.integers(0, 4)))
        flags = 0 if self.training else FROZEN

        def call(kind, **members):
            """One raw call: tensors with three dimensions are arrays, others pointers."""
            c = CALLS[kind](size=C.sizeof(CALLS[kind]), shape=shape)
            for name, value in members.items():
                if isinstance(value, torch.Tensor):
                    value = Array(address(value), strides(value)) if value.dim() == 3 else address(value)
                setattr(c, name, value)
            self.ok(getattr(self.lib, "batchnorm_" + kind)(C.byref(c), C.byref(exec_)))

        stats = dict(save_mean=saved[0], save_rstd=saved[1])
        settings = dict(options=C.addressof(options), weight=w, bias=b, **stats)
        if self.training:
            call("forward", x=x, y=y, running_mean=rm, running_var=rv, **settings)
        else:
            call("infer", x=x, y=y, mean=mean, var=var, **settings)
        dw, db, gw = (torch.empty(self.c, dtype=TORCH[self.parameter]) for _ in range(3))
        call("backward", x=x, dy=dy, dx=dx, weight=w, dweight=dw, dbias=db, flags=flags, **stats)
        ty = torch.empty_strided(dy.shape, dy.stride(), dtype=dy.dtype)
        call("jvp", x=x, tx=vx, ty=ty, weight=w, tweight=tw, tbias=tb, flags=flags, **stats)
        call("double_backward", x=x, dy=dy, vx=vx, gx=gx, gdy=gdy, weight=w, vweight=tw, vbias=tb, gweight=gw, flags=flags,
             **stats)
        self.fused(call, settings, flags, x, dy, w, b, mean, var)
        self.compare(x, dy, vx, w, b, tw, tb, mean, var, y, rm, rv, saved, dx, dw, db, ty, gx, gdy, gw)

    def compare(self, x, dy, vx, w, b, tw, tb, mean, var, y, rm, rv, saved, dx, dw, db, ty, gx, gdy, gw):
        d = lambda t: None if t is None else t.detach().double().contiguous()
        X, DY = d(x).clone().requires_grad_(), d(dy).clone().requires_grad_()
        W = (d(w) if w is not None else torch.ones(self.c, dtype=torch.float64)).clone().requires_grad_()
        B = (d(b) if b is not None else torch.zeros(self.c, dtype=torch.float64)).clone().requires_grad_()
        RM, RV = d(mean), d(var)
        run = lambda X, W, B: F.batch_norm(X, None if self.training else d(mean), None if self.training else d(var), W, B,
                                           self.training, 0.0, self.eps)
        Y = run(X, W, B)
        native = F.batch_norm(x, mean.clone(), var.clone(), w, b, self.training, self.momentum, self.eps)
        rstd, M = saved[1], self.shape[0] * self.shape[2]
        xs = float(((d(x) - saved[0][:, None]) * rstd[:, None]).abs().max()) + 1
        # sums of doubles in double lose a little with every value
        far = float((d(x).abs().max() * rstd.max())) * (1 + M / 64) if self.dtype == F64 else 1.0
        ws = self.size(W)
        self.check("y", y, Y, ws * (xs + far) + self.size(B), native)
        if self.training:
            F.batch_norm(d(x), RM, RV, None, None, True, self.momentum, self.eps)
        self.check("running_mean", rm, RM, 1 + self.size(d(x)) * (1 + abs(self.momentum)))
        self.check("running_var", rv, RV, 1 + self.size(d(x), d(x)) * (2 + 2 * abs(self.momentum)))
        GX, GW, GB = torch.autograd.grad(Y, (X, W, B), DY, create_graph=True)
        scale = ws * float(rstd.max()) * self.size(dy) * (xs + far) ** 2
        self.check("dx", dx, GX, scale)
        sums = M * self.size(dy) * (xs + far)
        self.check("dweight", dw, GW, sums)
        self.check("dbias", db, GB, sums)
        _, TY = torch.func.jvp(run, (d(x), W.detach(), B.detach()), (d(vx), d(tw), d(tb)))
        tangent = ws * float(rstd.max()) * self.size(vx) * (xs + far) ** 2 + self.size(tw) * (xs + far) + self.size(tb)
        self.check("ty", ty, TY, tangent)
        parts = torch.autograd.grad((GX, GW, GB), (X, DY, W), (d(vx), d(tw), d(tb)), allow_unused=True)
        parts = [torch.zeros_like(like) if t is None else t for t, like in zip(parts, (X, DY, W))]
        both = self.size(dy) * self.size(vx) * (xs + far) ** 4
        through_weight = self.size(tw, dy) * float(rstd.max()) * (xs + far) ** 2
        self.check("gx", gx, parts[0], ws * float(rstd.max()) ** 2 * both * 8 + through_weight)
        self.check("gdy", gdy, parts[1], tangent)
        self.check("gweight", gw, parts[2], M * float(rstd.max()) * both)


    def fused(self, call, settings, flags, x, dy, w, b, mean, var):
        """One activation with a residual, forward and backward, against torch in float64 from the same statistics."""
        kind = int(self.r.integers(1, len(ACTIVATIONS)))
        parameter, function = ACTIVATIONS[kind]
        z = self.data()
        y, dx, dz = (self.layout(self.shape) for _ in range(3))
        activation = dict(activation=Activation(kind, parameter))
        if self.training:
            call("forward", x=x, z=z, y=y, **settings, **activation)
        else:
            call("infer", x=x, z=z, y=y, mean=mean, var=var, **settings, **activation)
        saved = settings["save_mean"], settings["save_rstd"]
        call("backward", x=x, z=z, dy=dy, dx=dx, dz=dz, weight=w, bias=b, save_mean=saved[0], save_rstd=saved[1], flags=flags,
             **activation)
        d = lambda t: t.detach().double().contiguous()
        X, Z, one = d(x).requires_grad_(), d(z).requires_grad_(), torch.ones(self.c, dtype=torch.float64)
        W, B = d(w) if w is not None else one, d(b) if b is not None else 0 * one
        V = F.batch_norm(X, None if self.training else d(mean), None if self.training else d(var), W, B, self.training, 0.0,
                         self.eps) + Z
        Y = function(V)
        spread = float(((d(x) - saved[0][:, None]) * saved[1][:, None]).abs().max()) + 1 if x.numel() else 1.0
        count = self.shape[0] * self.shape[2]
        far = float((d(x).abs().max() * saved[1].max())) * (1 + count / 64) if self.dtype == F64 and x.numel() else 1.0
        size = self.size(W) * (spread + far) + self.size(B) + self.size(z)
        self.check("fused y", y, Y, size)
        DX, DZ = torch.autograd.grad(Y, (X, Z), d(dy))
        # where v is next to a bend, v with an error may lie on its other side
        bends = {1: (0,), 2: (0,), 3: (0, 6), 4: (-3, 3)}.get(kind, ())
        near = torch.zeros_like(V, dtype=torch.bool)
        for bend in bends:
            near |= (V.detach() - bend).abs() < 64 * COMPUTED[self.dtype] * size + 1e-12
        if near.any():
            return
        self.check("fused dz", dz, DZ, self.size(dy) * size)
        self.check("fused dx", dx, DX, self.size(W) * float(saved[1].max()) * self.size(dy) * size * (spread + far) ** 2)


class LayerTrial(Trial):
    """A layer and torch.nn.BatchNorm side by side through several forwards and backwards."""

    def run(self):
        kind = getattr(torch.nn, f"BatchNorm{self.dims}d")
        track = bool(self.r.random() < 0.8)
        momentum = None if self.r.random() < 0.3 else self.momentum
        arguments = dict(eps=self.eps, momentum=momentum, affine=self.affine, track_running_stats=track)
        twin = kind(self.c, dtype=torch.float64, **arguments)
        native = kind(self.c, dtype=TORCH[self.parameter], **arguments)
        o = self.lib.batchnorm_layer_defaults(self.dims, self.c)
        o.convention.eps, o.cumulative, o.affine, o.track_running_stats = self.eps, momentum is None, self.affine, track
        o.convention.momentum = 0.1 if momentum is None else momentum
        o.dtype = self.parameter
        handle = C.c_void_p()
        self.ok(self.lib.batchnorm_layer_create(C.byref(o), C.byref(handle)))
        try:
            self.steps(handle, twin, native)
        finally:
            self.lib.batchnorm_layer_destroy(handle)

    def numbers(self, tensor):
        kind = C.c_double if self.parameter == F64 else C.c_float
        return torch.tensor(np.ctypeslib.as_array((kind * self.c).from_address(tensor.data)))

    def set(self, tensor, values):
        C.memmove(tensor.data, values.contiguous().data_ptr(), values.numel() * values.element_size())

    def steps(self, handle, twin, native):
        if self.affine:
            for name in ("weight", "bias"):
                value = self.vector()
                self.set(getattr(self.lib, "batchnorm_layer_" + name)(handle).contents.value, value)
                for net in (twin, native):
                    with torch.no_grad():
                        getattr(net, name).copy_(value)
        for _ in range(int(self.r.integers(1, 5))):
            self.shape = [self.shape[0]] + [self.c] + self.random_shape()[2:]
            if np.prod(self.shape) // self.c == 1:
                self.shape[0] = 2
            self.training = bool(self.r.random() < 0.7)
            for net in (twin, native):
                net.train(self.training)
            (self.lib.batchnorm_layer_train if self.training else self.lib.batchnorm_layer_eval)(handle)
            self.step(handle, twin, native)

    def step(self, handle, twin, native):
        x, dy, y, dx = self.data(1.0, self.offset), self.data(), self.layout(self.shape), self.layout(self.shape)
        X, N = x.double().contiguous().clone().requires_grad_(), x.detach().clone().requires_grad_()
        Y, own = twin(X), native(N)
        status = self.lib.batchnorm_layer_forward(handle, view(x, self.dtype), view(y, self.dtype), None, 0, None)
        if status != OK:
            raise RuntimeError(f"{self.name}: {self.lib.batchnorm_layer_message(handle).decode()}")
        batch = self.training or twin.running_mean is None
        axes = [i for i in range(len(self.shape)) if i != 1]
        v = X.detach().var(axes, unbiased=False) if batch else twin.running_var
        m = X.detach().mean(axes) if batch else twin.running_mean
        rstd = float((1 / torch.sqrt(v.clamp(min=0) + self.eps)).max())
        flat = [1, -1] + [1] * (len(self.shape) - 2)
        xs = float(((X.detach() - m.reshape(flat)).abs().max()) * rstd) + 1
        if batch and self.dtype == F64:
            xs += float(X.detach().abs().max()) * rstd * (1 + X.numel() / self.c / 64)
        if bool((v < 0).any()):  # momenta beyond [0, 1] make running variances negative
            return
        ws = self.size(twin.weight) if self.affine else 1.0
        # running statistics are rounded at every update, and may have cancelled since
        grown = self.size(X) ** 2 * 40 * max(1.0, abs(self.momentum)) ** 8
        drift = 0 if batch else grown * rstd * (1 + rstd**2 * xs)
        scale = ws * (xs + drift) + (self.size(twin.bias) if self.affine else 0)
        self.check("y", y, Y, scale, own)
        self.backward(handle, twin, x, dy, dx, X, Y, ws * rstd * self.size(dy) * (xs + drift) ** 2)
        if twin.running_mean is not None:
            self.check("running_mean", self.numbers(self.lib.batchnorm_layer_running_mean(handle)), twin.running_mean, grown)
            self.check("running_var", self.numbers(self.lib.batchnorm_layer_running_var(handle)), twin.running_var, grown)
            count = self.lib.batchnorm_layer_num_batches_tracked(handle)[0]
            if count != int(twin.num_batches_tracked):
                self.failures.append(f"{self.name}: num_batches_tracked is {count}")

    def backward(self, handle, twin, x, dy, dx, X, Y, scale):
        accumulate = bool(self.r.random() < 0.5)
        if not accumulate:
            twin.zero_grad()
        Y.backward(dy.double().contiguous())
        flags = ACCUMULATE if accumulate else 0
        self.ok(self.lib.batchnorm_layer_backward(handle, None, view(x, self.dtype), view(dy, self.dtype), view(dx, self.dtype),
                                                  flags, None))
        self.check("dx", dx, X.grad, scale)
        if self.affine:
            sums = 5 * np.prod(self.shape) / self.c * self.size(dy) * scale
            for name in ("weight", "bias"):
                parameter = getattr(self.lib, "batchnorm_layer_" + name)(handle).contents
                self.check("d" + name, self.numbers(parameter.grad), getattr(twin, name).grad, sums)


def main():
    warnings.simplefilter("ignore")
    if len(sys.argv) < 2 or not os.path.exists(sys.argv[1]):
        print(f"usage: {sys.argv[0]} PATH/libbatchnorm.so [COUNT [SEED]]")
        return 2
    lib = open_library(os.path.abspath(sys.argv[1]))
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 600
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    torch.set_num_threads(1)
    failures = []
    for seed in range(first, first + count):
        trial = (RawTrial if seed % 2 else LayerTrial)(lib, seed)
        try:
            trial.run()
        except RuntimeError as error:
            trial.failures.append(f"{trial.name}: {error}")
        failures += trial.failures
    for line in failures[:40]:
        print(line)
    print(f"{count} configurations against torch {torch.__version__}, libbatchnorm {lib.batchnorm_version().decode()} "
          f"({lib.batchnorm_isa().decode()}): {len(failures)} differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
