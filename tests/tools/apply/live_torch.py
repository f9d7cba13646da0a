#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares `batchnorm apply` with PyTorch, live, on random configurations: live_torch.py COUNT SEED COMMAND...

Files are written by NumPy and by PyTorch's safetensors, and what the command makes is read by them. PyTorch computes in float64
on the same elements. Exit status 1 if something differs.
"""

import os
import random
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file

CLASSES = {1: torch.nn.BatchNorm1d, 2: torch.nn.BatchNorm2d, 3: torch.nn.BatchNorm3d}
DTYPES = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16}
ROUNDING = {torch.float32: 2.0**-24, torch.float64: 2.0**-53, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


class Case:
    """One random configuration: a layer, its arrays, and the arguments that say the same to the command."""

    def __init__(self, rng):
        self.rng = rng
        self.dims = random.choice([1, 2, 3])
        rank = {1: random.choice([2, 3]), 2: 4, 3: 5}[self.dims]
        self.shape = [random.randint(2, 5), random.randint(1, 6)] + [random.randint(1, 5) for _ in range(rank - 2)]
        self.dtype = random.choice(list(DTYPES))
        self.parameters = torch.float64 if self.dtype == "f64" else torch.float32
        self.last = random.random() < 0.4
        self.eval = random.random() < 0.4
        self.options = {
            "eps": random.choice([1e-5, 1e-3, 0.5]),
            "momentum": random.choice([0.1, None, 0.3, 1.0, -0.5]),
            "affine": random.random() < 0.8,
            "bias": random.random() < 0.8,
            "track_running_stats": random.random() < 0.8,
        }
        self.weight = self.options["affine"]
        self.bias = self.options["affine"] and self.options["bias"]

    def arguments(self):
        o = self.options
        args = ["--dims", self.dims, "--eps", o["eps"], "--momentum", "none" if o["momentum"] is None else o["momentum"]]
        args += ["--dtype", self.dtype, "--threads", random.choice([0, 1, 2])]
        for wanted, name in ((self.last, "--channels-last"), (self.eval, "--eval"), (not o["affine"], "--no-affine"),
                             (not o["bias"], "--no-bias"), (not o["track_running_stats"], "--no-track")):
            args += [name] if wanted else []
        return args

    def layer(self, dtype):
        layer = CLASSES[self.dims](self.shape[1], dtype=dtype, **self.options)
        return layer.eval() if self.eval else layer

    def save_random(self, path):
        """A random array in any type and order; returns its elements as the command sees them, channels in front."""
        values = self.rng.standard_normal(self.shape) * 2 + 1
        if self.last:
            values = np.moveaxis(values, 1, -1)
        array = np.array(values.astype(random.choice(["<f4", "<f8", ">f4", ">f8", "<f2", ">f2"])), order=random.choice("CF"))
        np.save(path, array)
        tensor = torch.from_numpy(array.astype(array.dtype.newbyteorder("="))).to(DTYPES[self.dtype]).double()
        return (torch.movedim(tensor, -1, 1) if self.last else tensor).contiguous()


def fetch(argument):
    if ":" not in argument:
        return torch.from_numpy(np.load(argument))
    path, name = argument.split(":")
    return load_file(path)[name]


def compare(what, case, got, want, dtype, units):
    assert got.dtype == dtype, f"{what} has the type {got.dtype}"
    if case.last and got.dim() > 1:
        got = torch.movedim(got, -1, 1)
    assert got.shape == want.shape, f"{what} has the shape {got.shape}"
    error = ((got.double() - want).abs() / want.abs().clamp(min=1)).max().item() / ROUNDING[dtype]
    assert error <= units, f"{what} differs by {error:.3g} units"


def compare_state(case, got, layer, want):
    """The state loads strictly into PyTorch's own layer, and holds the numbers of `want`."""
    layer.load_state_dict(got, strict=True)
    for key, value in want.state_dict().items():
        if value.dtype.is_floating_point:
            compare(key, case, got[key], value, case.parameters, 16)
        else:
            assert got[key].dtype == value.dtype and got[key] == value, f"{key} is {got[key]} instead of {value}"


def run(case, command):
    dtype = DTYPES[case.dtype]
    reference = case.layer(torch.float64)
    for value in reference.state_dict().values():
        value.copy_(torch.rand(value.shape).float().add(0.5) if value.dtype.is_floating_point else torch.tensor(3))
    state = {k: v.to(case.parameters) if v.dtype.is_floating_point else v for k, v in reference.state_dict().items()}
    save_file(state, "in.safetensors")
    x, dy = case.save_random("x.npy"), case.save_random("dy.npy")
    y_at = "o.safetensors:y" if case.dtype == "bf16" or random.random() < 0.2 else "y.npy"
    dx_at = "o.safetensors:dx" if case.dtype == "bf16" or random.random() < 0.2 else "dx.npy"
    args = case.arguments() + ["--state", "in.safetensors", "--save-state", "out.safetensors"]
    args += ["--grad", "dy.npy", "--dx", dx_at]
    args += ["--dweight", "dw.npy"] if case.weight else []
    args += ["--dbias", "db.npy"] if case.bias else []
    args = [str(a) for a in args + ["x.npy", "-o", y_at]]
    done = subprocess.run(command + ["apply"] + args, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", f"{args}: {done.stderr}"
    x.requires_grad_(True)
    y = reference(x)
    y.backward(dy)
    compare("y", case, fetch(y_at), y.detach(), dtype, 32)
    compare("dx", case, fetch(dx_at), x.grad, dtype, 2000)
    if case.weight:
        compare("dweight", case, fetch("dw.npy"), reference.weight.grad, case.parameters, 200)
    if case.bias:
        compare("dbias", case, fetch("db.npy"), reference.bias.grad, case.parameters, 200)
    compare_state(case, load_file("out.safetensors"), case.layer(case.parameters), reference)


def main():
    count, seed, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if os.path.exists(command[0]):
        command[0] = os.path.abspath(command[0])
    random.seed(seed)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    for i in range(count):
        case = Case(rng)
        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
            try:
                run(case, command)
            except AssertionError as error:
                print(f"configuration {i} of seed {seed}, {vars(case)}: {error}")
                return 1
            finally:
                os.chdir("/")
    print(f"{count} configurations agree with PyTorch {torch.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
