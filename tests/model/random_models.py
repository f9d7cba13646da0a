#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random graphs with batch norms, folded and compared in ONNX Runtime: random_models.py COMMAND [FIRST COUNT].

Each seed makes a chain with branches of what can stand around a batch norm; every second one is folded with --rewrite. A seed
whose outputs differ, or that does not pass onnx.checker, is printed. Needs the packages onnx, onnxruntime and numpy."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

import make_models

# Of the largest number of an output: weights of many layers are multiplied, in float.
TOLERANCE = 2e-4


class Chain:
    """A graph that grows by random steps from values that are there. A value is (name, channels, size of an image or 1,
    rank)."""

    def __init__(self, seed):
        make_models.random = np.random.default_rng(seed + 10**6)
        self.r = np.random.default_rng(seed)
        channels = int(self.r.integers(1, 6))
        self.g = make_models.Graph((int(self.r.integers(1, 3)), channels, 9, 9))
        self.values = [("x", channels, 9, 4)]
        for _ in range(int(self.r.integers(3, 12))):
            value = self.values[int(self.r.integers(max(0, len(self.values) - 2), len(self.values)))]
            self.image_step(*value[:3]) if value[3] == 4 else self.row_step(*value[:2])

    def flip(self):
        return bool(self.r.integers(0, 2))

    def another(self, size, channels=None):
        """Returns some image of the same size, or None."""
        name, c, s, rank = self.values[int(self.r.integers(0, len(self.values)))]
        return (name, c) if rank == 4 and s == size and channels in (None, c) else None

    def convolve(self, v, c, s, transposed):
        groups = int(self.r.choice([g for g in (1, 2, 3) if c % g == 0]))
        outs, kernel = groups * int(self.r.integers(1, 4)), int(min(s, self.r.integers(1, 4)))
        pad = 0 if transposed or kernel == 1 else int(self.r.integers(0, 2))
        op = "ConvTranspose" if transposed else "Conv"
        y = self.g.conv(v, outs, c, (kernel, kernel), bias=self.flip(), op=op, groups=groups, pads=[pad] * 4)
        return y, outs, s + kernel - 1 if transposed else s + 2 * pad - kernel + 1, 4

    def constant_step(self, v, c):
        shape = [(c, 1, 1), (1, c, 1, 1), (1,), ()][int(self.r.integers(0, 4))]
        constant = self.g.constant(make_models.floats(*shape))
        op = str(self.r.choice(["Mul", "Add", "Sub"]))
        return self.g.node(op, constant, v) if self.flip() else self.g.node(op, v, constant)

    def image_step(self, v, c, s):
        kind, g = int(self.r.integers(0, 16)), self.g
        if kind < 4:
            self.values.append(self.convolve(v, c, s, kind == 3))
        elif kind < 8:
            parameters = g.parameters(c, shift=bool(self.r.integers(0, 4)), positive=self.flip())
            self.values.append((g.norm(v, c, parameters), c, s, 4))
        elif kind < 10:
            self.values.append((self.constant_step(v, c), c, s, 4))
        elif kind == 10 and s >= 3:
            pad = int(self.r.integers(0, 2))
            y = g.node("AveragePool", v, kernel_shape=[2, 2], pads=[pad] * 4, count_include_pad=int(self.flip()))
            self.values.append((y, c, s + 2 * pad - 1, 4))
        elif kind == 11:
            self.values.append((g.node("Relu" if self.flip() else "Identity", v), c, s, 4))
        elif kind == 12:
            other = self.another(s)
            if other:
                self.values.append((g.node("Concat", v, other[0], axis=1), c + other[1], s, 4))
        elif kind == 13 and s >= 2:
            self.values.append((g.node("MaxPool", v, kernel_shape=[2, 2]), c, s - 1, 4))
        elif kind == 14:
            self.values.append((g.node("Flatten", g.node("GlobalAveragePool", v)), c, 1, 2))
        else:
            other = self.another(s, c)
            if other:
                self.values.append((g.node("Add", v, other[0]), c, s, 4))

    def row_step(self, v, c):
        kind, g, outs = int(self.r.integers(0, 5)), self.g, int(self.r.integers(1, 5))
        if kind == 0:
            self.values.append((g.norm(v, c), c, 1, 2))
        elif kind == 1:
            self.values.append((g.node("MatMul", v, g.constant(make_models.floats(c, outs))), outs, 1, 2))
        elif kind == 2:
            turned = self.flip()
            inputs = [v, g.constant(make_models.floats(*((outs, c) if turned else (c, outs))))]
            if self.flip():
                inputs.append(g.constant(make_models.floats(outs)))
            y = g.node("Gemm", *inputs, transB=int(turned), alpha=0.5 + self.flip(), beta=1.0 + self.flip())
            self.values.append((y, outs, 1, 2))
        elif kind == 3:
            self.values.append((g.node("Add", v, g.constant(make_models.floats(c))), c, 1, 2))
        else:
            self.values.append((g.node("Relu", v), c, 1, 2))

    def model(self):
        """Returns the model, or None if it has no batch norm. Some have a second output, in the middle."""
        last, middle = self.values[-1][0], self.values[int(self.r.integers(0, len(self.values)))][0]
        if not any(n.op_type == "BatchNormalization" for n in self.g.nodes):
            return None
        self.g.output(last)
        if self.r.integers(0, 4) == 0 and middle not in ("x", last):
            self.g.output(middle)
        model = self.g.model()
        inferred = {o.name: o for o in onnx.shape_inference.infer_shapes(model).graph.output}
        for output in model.graph.output:
            output.type.tensor_type.shape.CopyFrom(inferred[output.name].type.tensor_type.shape)
        return model


def run(path, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def wrong_with(command, seed, folder):
    """Folds the model of a seed. Returns what is wrong with it, None if nothing is, and how many batch norms went."""
    model = Chain(seed).model()
    before, after = os.path.join(folder, "before.onnx"), os.path.join(folder, "after.onnx")
    if model is None:
        return None, 0
    onnx.save(model, before)
    how = ["--rewrite"] if seed % 2 else []
    done = subprocess.run([command, "fold", before, "-o", after, *how], capture_output=True, text=True)
    if done.returncode != 0:
        return done.stderr, 0
    onnx.checker.check_model(after, full_check=True)
    count = lambda m: sum(n.op_type == "BatchNormalization" for n in m.graph.node)
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    feeds = {"x": np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}
    off = max(float(np.abs(a - b).max() / (np.abs(a).max() + 1e-3)) for a, b in zip(run(before, feeds), run(after, feeds)))
    return None if off < TOLERANCE else f"outputs differ by {off:.2g}", count(model) - count(onnx.load(after))


def main(command, first=0, count=200):
    failures = gone = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + count):
            wrong, folded = wrong_with(command, seed, folder)
            gone += folded
            failures += wrong is not None
            if wrong is not None:
                print(f"seed {seed}: {wrong}")
    print(f"{count} graphs, {gone} batch norms folded, {failures} failures")
    return 1 if failures or gone == 0 else 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 4):
        sys.exit("usage: random_models.py COMMAND [FIRST COUNT]")
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
