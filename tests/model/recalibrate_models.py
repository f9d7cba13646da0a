#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`batchnorm recalibrate` against population statistics by definition: recalibrate_models.py COMMAND.

Models of every form that statistics have in a file, and graphs in which batch norms stand beside and behind each other, of any
batch size; two steps without ONNX Runtime in the command, through OpenVINO where it is installed, and else through onnx's own
evaluator; real models, those in the package onnx and, where it is installed, in rapidocr_onnxruntime. Needs onnx, onnxruntime
and numpy. Longer than 300 lines, because each form is a model here."""
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from xml.etree import ElementTree

import numpy as np
import onnx
import onnxruntime
from exact_statistics import distance, exact, statistics
from onnx import TensorProto, helper, numpy_helper

library = os.path.join(os.path.dirname(onnxruntime.__file__), "capi")
random = np.random.default_rng(21)
real_random = np.random.default_rng(22)  # of real models: the same whatever stands before them
onnxruntime.set_default_logger_severity(3)
ALLOWED = 1e-5


class Graph:
    """A graph that grows node by node. Statistics are those of nobody's data."""

    def __init__(self, x=("N", 3, 8, 8), dtype=np.float32):
        self.dtype, self.nodes, self.tensors, self.x, self.count, self.more = np.dtype(dtype), [], {}, list(x), 0, []

    def name(self, word):
        self.count += 1
        return f"{word}{self.count}"

    def constant(self, array, word="c"):
        name = self.name(word)
        self.tensors[name] = np.asarray(array)
        return name

    def floats(self, *shape, low=-1.0, high=1.0):
        return self.constant(random.uniform(low, high, shape).astype(self.dtype))

    def node(self, op, *inputs, **attributes):
        out = self.name(op.lower())
        self.nodes.append(helper.make_node(op, list(inputs), [out], name=out + "_node", **attributes))
        return out

    def conv(self, x, outs, ins, **attributes):
        rank = len(self.x) - 2
        pads = [1] * 2 * rank
        return self.node("Conv", x, self.floats(outs, ins, *[3] * rank), self.floats(outs), pads=pads, **attributes)

    def norm(self, x, channels, parameters=None, **attributes):
        if parameters is None:
            parameters = [self.floats(channels, low=0.5, high=1.5), self.floats(channels), self.floats(channels),
                          self.floats(channels, low=0.5, high=2)]
        return self.node("BatchNormalization", x, *parameters, epsilon=1e-4, **attributes)

    def model(self, *outputs, opset=17, ir=8, as_inputs=False):
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        inputs = [helper.make_tensor_value_info("x", kind, self.x)]
        if as_inputs:
            inputs += [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
                       for n, a in self.tensors.items()]
        tensors = [numpy_helper.from_array(a, n) for n, a in self.tensors.items()]
        outs = [helper.make_tensor_value_info(n, kind, None) for n in outputs]
        graph = helper.make_graph(self.nodes, "g", inputs, outs, tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
        inferred = {o.name: o for o in onnx.shape_inference.infer_shapes(model).graph.output}
        for o in model.graph.output:  # the checker wants their shapes
            o.type.tensor_type.shape.CopyFrom(inferred[o.name].type.tensor_type.shape)
            o.type.tensor_type.shape.SetInParent()
        return model


def chain(x=("N", 3, 8, 8), dtype=np.float32, depth=3, **how):
    g = Graph(x, dtype)
    v, channels = "x", x[1]
    for outs in (4, 6, 5, 4, 6)[:depth]:
        v = g.node("Relu", g.norm(g.conv(v, outs, channels), outs))
        channels = outs
    return g.model(v, **how)


def branches():
    """Skip connections over batch norms, branches of unequal depth, and one whose output is used twice."""
    g = Graph()
    a = g.node("Relu", g.norm(g.conv("x", 4, 3), 4))
    b = g.node("Relu", g.norm(g.conv(a, 4, 4), 4))
    c = g.node("Add", g.norm(g.conv(b, 4, 4), 4), a)
    d = g.node("Concat", g.norm(g.conv("x", 4, 3), 4), c, axis=1)
    e = g.norm(d, 8)
    return g.model(g.node("Mul", e, g.node("Sigmoid", d)), g.norm(b, 4))


def over_one():
    """Skip connections over one batch norm each."""
    g = Graph()
    a = g.node("Relu", g.norm(g.conv("x", 4, 3), 4))
    b = g.node("Relu", g.node("Add", g.norm(g.conv(a, 4, 4), 4), a))
    return g.model(g.norm(g.node("Add", g.norm(g.conv(b, 4, 4), 4), b), 4))


def at_the_beginning():
    g = Graph()
    return g.model(g.norm(g.conv(g.norm("x", 3), 4, 3), 4), g.norm("x", 3))


def data_used_late():
    """The input of the model is needed behind the last batch norm, and its shape, too."""
    g = Graph()
    a = g.norm(g.conv("x", 3, 3), 3)
    b = g.node("Add", a, "x")
    c = g.node("Reshape", g.norm(b, 3), g.node("Shape", "x"))
    return g.model(g.norm(g.node("Mul", c, "x"), 3))


def as_constants():
    """Statistics and weights in Constant nodes."""
    model = chain()
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    kept = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes + kept)
    return model


def behind_identity():
    model = chain()
    for node in list(model.graph.node):
        if node.op_type == "BatchNormalization":
            for i in (3, 4):
                model.graph.node.insert(0, helper.make_node("Identity", [node.input[i]], [node.input[i] + "_same"]))
                node.input[i] += "_same"
    return model


def of_shapes():
    """Statistics that the file only describes."""
    g = Graph()
    zeros = lambda v: g.node("ConstantOfShape", g.constant(np.array([4], np.int64)),
                             value=numpy_helper.from_array(np.array([v], np.float32)))
    a = g.norm(g.conv("x", 4, 3), 4, [zeros(1), zeros(0), zeros(0), zeros(1)])
    return g.model(g.norm(g.conv(a, 4, 4), 4, [zeros(1), zeros(0), zeros(0), zeros(1)]))


def bytes_first():
    """Takes bytes, as models do that bring their own preprocessing."""
    model = chain()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    cast = helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT)
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "x":
                node.input[i] = "floats"
    model.graph.node.insert(0, cast)
    return model


def shared_zeros():
    """One tensor of zeros for biases and means, one of ones for scales and variances, as tools leave that merge what is equal;
    but each batch norm has a variance of its own."""
    g = Graph()
    zero, one = g.constant(np.zeros(4, np.float32)), g.constant(np.ones(4, np.float32))
    a = g.norm(g.conv("x", 4, 3), 4, [one, zero, zero, g.floats(4, low=0.5)])
    return g.model(g.norm(g.conv(a, 4, 4), 4, [one, zero, zero, g.floats(4, low=0.5)]))


def shared(depths):
    """Two batch norms that have the same statistics, side by side or one behind the other."""
    g = Graph()
    mean, var = g.floats(4), g.floats(4, low=0.5)
    parameters = lambda: [g.floats(4, low=0.5), g.floats(4), mean, var]
    a = g.norm(g.conv("x", 4, 3), 4, parameters())
    b = g.norm(g.conv(a if depths == 2 else "x", 4, 4 if depths == 2 else 3), 4, parameters())
    return g.model(g.node("Add", a, b))


def with_a_loop():
    """An If that takes values from around it, behind one batch norm and before another, with one inside."""
    g = Graph()
    a = g.norm(g.conv("x", 4, 3), 4)
    inner = [g.floats(4, low=0.5) for _ in range(4)]
    branch = lambda n, nodes: helper.make_graph(nodes, n, [], [helper.make_tensor_value_info(n, TensorProto.FLOAT, None)])
    yes = branch("yes", [helper.make_node("BatchNormalization", [a, *inner], ["yes"], name="inside", epsilon=1e-4)])
    no = branch("no", [helper.make_node("Neg", [a], ["no"])])
    b = g.node("If", g.constant(np.array(True)), then_branch=yes, else_branch=no)
    return g.model(g.norm(b, 4))


class Command:
    def __init__(self, path, folder):
        self.path, self.folder = path, folder
        self.scratch = os.path.join(folder, "scratch")
        os.mkdir(self.scratch)
        self.environment = {**os.environ, "BATCHNORM_ONNXRUNTIME": library, "TMPDIR": self.scratch}

    def run(self, *arguments, code=0):
        done = subprocess.run([self.path, "recalibrate", *arguments], capture_output=True, text=True, env=self.environment)
        assert done.returncode == code, (arguments, done)
        assert code == 0 or done.stderr, done
        return done

    def left(self):
        """Temporary files; the runtime has one of its own."""
        return [n for n in os.listdir(self.scratch) if n != ".ses"]

    def new(self, name):
        return os.path.join(self.folder, name)

    def put(self, model, name="model.onnx"):
        onnx.save(model, self.new(name))
        return self.new(name)


def samples(shape, count=11, dtype=np.float32):
    return (random.normal(size=(count, *shape[1:])) * random.uniform(0.3, 2, (1, shape[1], *[1] * (len(shape) - 2)))
            + random.uniform(-1, 1, (1, shape[1], *[1] * (len(shape) - 2)))).astype(dtype)


def check_rest(before, after):
    """Nothing but numbers of statistics differs, and names of those that had to be others."""
    norms = [n for n in before.graph.node if n.op_type == "BatchNormalization"]
    mine = {i for n in norms for i in n.input[3:5]}
    for node, other in zip(before.graph.node, after.graph.node):
        assert node.op_type == other.op_type and list(node.output) == list(other.output), node
        if not mine & set(node.output):
            assert list(node.attribute) == list(other.attribute), node
    old = {t.name: t for t in before.graph.initializer}
    new = {t.name: t for t in after.graph.initializer}
    assert all(t.SerializeToString() == new[n].SerializeToString() for n, t in old.items() if n not in mine)
    onnx.checker.check_model(after)


def check_forms(command):
    worst = [0.0, 0.0]
    forms = {
        "chain": chain(), "1d": chain(("N", 3, 9)), "3d": chain(("N", 3, 4, 4, 4)), "branches": branches(),
        "over one": over_one(), "beginning": at_the_beginning(), "late": data_used_late(),
        "constants": as_constants(), "identity": behind_identity(), "shapes": of_shapes(),
        "zeros": shared_zeros(), "inputs": chain(opset=8, ir=3, as_inputs=True),
        "defaults": chain(as_inputs=True), **{f"opset {o}": chain(opset=o) for o in (7, 9, 13, 14, 15, 18, 22)},
    }
    for name, model in forms.items():
        path, out = command.put(model), command.new("out.onnx")
        x = samples(model.graph.input[0].type.tensor_type.shape.dim and
                    [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim])
        np.save(command.new("x.npy"), x)
        want, outputs = exact(model, x)
        written = set()
        for size in (1, 4, 11):
            for memory in ("0", "64"):
                told = json.loads(command.run(path, "--data", command.new("x.npy"), "-o", out, "--batch", str(size), "--memory",
                                              memory, "--json").stdout)
                after = onnx.load(out)
                got = distance(statistics(after), want)
                assert max(got) < ALLOWED, (name, size, got)
                assert told["left"] == 0 and told["samples"] == 11 and told["count"] == len(want), (name, told)
                assert (told["bytes_in_files"] > 0) == (memory == "0" and name != "beginning"), (name, told)
                worst = [max(w, d) for w, d in zip(worst, got)]
                written.add((size, open(out, "rb").read()))
        assert len(written) == 3, f"{name}: memory changes the result"
        check_rest(model, after)
        session = onnxruntime.InferenceSession(out)
        for a, b in zip(session.run(None, {"x": x}), outputs):
            assert np.max(np.abs(a - b)) <= 1e-4 * max(1, np.max(np.abs(b))), name
        check = json.loads(command.run(out, "--data", command.new("x.npy"), "--check", "--json").stdout)
        assert all(abs(n["shift"]) < ALLOWED and abs(n["ratio"] - 1) < ALLOWED for n in check["batch_norms"]), (name, check)
    print(f"{len(forms)} forms: means within {worst[0]:.1e} sigma, variances within {worst[1]:.1e}")


def check_types(command):
    for dtype, allowed in ((np.float64, 1e-12), (np.float16, 5e-3)):
        model = chain(dtype=dtype) if dtype == np.float16 else None
        if model is None:  # ONNX Runtime has no convolutions of doubles
            g = Graph(("N", 3), dtype)
            v = g.norm(g.node("MatMul", "x", g.floats(3, 4)), 4)
            model = g.model(g.norm(g.node("MatMul", v, g.floats(4, 4)), 4))
        path, out = command.put(model), command.new("out.onnx")
        x = samples([0, 3, 8, 8] if dtype == np.float16 else [0, 3], 40, dtype)
        np.save(command.new("x.npy"), x)
        command.run(path, "--data", command.new("x.npy"), "-o", out)
        got = distance(statistics(onnx.load(out)), exact(model, x)[0])
        assert max(got) < allowed, (dtype, got)
    check_bfloat16(command)
    # a variance that F16 does not have
    g = Graph(dtype=np.float16)
    path = command.put(g.model(g.norm(g.node("Mul", "x", g.constant(np.float16(300))), 3)))
    np.save(command.new("x.npy"), samples([0, 3, 8, 8], 8, np.float16) * np.float16(3))
    done = command.run(path, "--data", command.new("x.npy"), "-o", command.new("no.onnx"), code=1)
    assert "larger than any FLOAT16" in done.stderr and not os.path.exists(command.new("no.onnx")), done


def check_bfloat16(command):
    """Few runtimes compute with it, but files have it: what was taken elsewhere is rounded to it."""
    row = lambda name, values: helper.make_tensor(name, TensorProto.BFLOAT16, [2], values)
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], name="n")
    info = lambda name: helper.make_tensor_value_info(name, TensorProto.BFLOAT16, ["N", 2])
    graph = helper.make_graph([node], "g", [info("x")], [info("y")],
                              [row("s", [1, 1]), row("b", [0, 0]), row("m", [0, 0]), row("v", [1, 1])])
    path = command.put(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "bf16.onnx")
    np.savez(command.new("s.npz"), **{"batchnorm/n/count": 3, "batchnorm/n/mean": np.array([1 / 3, -2.0]),
                                      "batchnorm/n/m2": np.array([3.0, 0.1])})
    command.run(path, "--merge", command.new("s.npz"), "-o", command.new("out.onnx"))
    got = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in onnx.load(command.new("out.onnx")).graph.initializer}
    assert np.array_equal(got["m"], [0.333984375, -2.0]) and np.array_equal(got["v"], [1.0, 0.033447265625]), got


def check_external(command):
    """Data of weights and statistics in a file beside the model."""
    model, folder = chain(), command.new("external")
    os.mkdir(folder)
    path, out = os.path.join(folder, "m.onnx"), os.path.join(folder, "out.onnx")
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    x = samples([0, 3, 8, 8])
    np.save(command.new("x.npy"), x)
    want, _ = exact(chain_of(path), x)
    before = open(os.path.join(folder, "m.data"), "rb").read()
    command.run(path, "--data", command.new("x.npy"), "-o", out)
    assert max(distance(statistics(onnx.load(out)), want)) < ALLOWED
    assert open(os.path.join(folder, "m.data"), "rb").read() == before
    command.run(path, "--data", command.new("x.npy"), "-o", out, "--method", "batch", "--batch", "11")
    done = command.run(path, "--data", command.new("x.npy"), "-o", command.new("elsewhere.onnx"), code=1)
    assert "external data" in done.stderr, done
    command.run(path, "--instrument", "-o", os.path.join(folder, "probe.onnx"))
    onnxruntime.InferenceSession(os.path.join(folder, "probe.onnx"))


def chain_of(path):
    return onnx.load(path)


def check_shared(command):
    x = samples([0, 3, 8, 8])
    np.save(command.new("x.npy"), x)
    beside, behind, out = command.put(shared(1), "1.onnx"), command.put(shared(2), "2.onnx"), command.new("out.onnx")
    model = onnx.load(beside)
    want, _ = exact(model, x)
    (m, v), (n, w) = want.values()
    mean, var = (m + n) / 2, (v + w) / 2 + (m - n) ** 2 / 4
    command.run(beside, "--data", command.new("x.npy"), "-o", out)
    after = onnx.load(out)
    assert len(after.graph.initializer) == len(model.graph.initializer)
    assert max(distance(statistics(after), {k: (mean, var) for k in want})) < ALLOWED
    for path in (beside, behind):
        command.run(path, "--data", command.new("x.npy"), "-o", out, "--separate")
        assert max(distance(statistics(onnx.load(out)), exact(onnx.load(path), x)[0])) < ALLOWED
    done = command.run(behind, "--data", command.new("x.npy"), "-o", out, code=1)
    assert "share their statistics and stand at depths 1 and 2" in done.stderr, done
    command.run(behind, "--data", command.new("x.npy"), "-o", out, "--method", "batch", "--batch", "11")


def check_batches(command):
    """Batches whose size changes the result are told, but where it does not matter."""
    out, data = command.new("out.onnx"), command.new("x.npy")
    for size, words in ((40, "of batches of 40, which the model says"), (8, "as few as 8, which the model says")):
        path = command.put(chain((size, 3, 8, 8)))
        np.save(data, samples([0, 3, 8, 8], 2 * size))
        told = command.run(path, "--data", data, "-o", out, "--method", "batch").stderr
        assert words in told, told
        told = command.run(path, "--data", data, "-o", out).stderr
        assert not told, told


def check_left(command):
    """One inside an If stays as it is, and is told; what stands behind it is right for that."""
    model = with_a_loop()
    x = samples([0, 3, 8, 8])
    np.save(command.new("x.npy"), x)
    path, out = command.put(model), command.new("out.onnx")
    told = json.loads(command.run(path, "--data", command.new("x.npy"), "-o", out, "--batch", "4", "--json").stdout)
    assert told["left"] == 1 and told["count"] == 3, told
    assert "inside an operator" in [n["why"] for n in told["batch_norms"] if n["name"] == "inside"][0], told
    assert "1 of 3 batch norms are left" in command.run(path, "--data", command.new("x.npy"), "-o", out, "--require-all",
                                                        code=1).stderr
    onnx.checker.check_model(onnx.load(out))
    check = json.loads(command.run(out, "--data", command.new("x.npy"), "--check", "--json").stdout)
    assert all(abs(n["shift"]) < ALLOWED for n in check["batch_norms"] if "shift" in n), check
    g = Graph()
    path = command.put(g.model(g.node("Relu", "x")))
    assert "has no batch norms" in command.run(path, "--data", command.new("x.npy"), "-o", out, code=1).stderr
    g = Graph()
    a = g.norm(g.conv("x", 4, 3), 4, training_mode=1)
    path = command.put(g.model(a))
    assert "statistics of each batch" in command.run(path, "--data", command.new("x.npy"), "-o", out, code=1).stderr


def spoil(model, how):
    """Puts other numbers into all statistics."""
    mine = {n.input[i]: i for n in model.graph.node if n.op_type == "BatchNormalization" for i in (3, 4)}
    for tensor in list(model.graph.initializer) + [a.t for n in model.graph.node if n.op_type == "Constant"
                                                   for a in n.attribute if n.output[0] in mine]:
        name = tensor.name if tensor.name in mine else next((n.output[0] for n in model.graph.node for a in n.attribute
                                                             if a.HasField("t") and a.t is tensor), None)
        if name in mine:
            other = how(numpy_helper.to_array(tensor), mine[name])
            tensor.CopyFrom(numpy_helper.from_array(other.astype(np.float32), tensor.name))
    return model


def elsewhere(path, batches):
    """Outputs of a model for each batch, by another runtime."""
    names = [o.name for o in onnx.load(path, load_external_data=False).graph.output]
    if importlib.util.find_spec("openvino"):
        import openvino
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return [dict(zip(names, [np.array(r) for r in compiled([x]).values()])) for x in batches], "OpenVINO"
    if onnx.load(path, load_external_data=False).opset_import[0].version < 14:  # where onnx's own one mixes in the batch's mean
        session = onnxruntime.InferenceSession(path)
        return [dict(zip(names, session.run(None, {session.get_inputs()[0].name: x}))) for x in batches], "ONNX Runtime"
    from onnx.reference import ReferenceEvaluator
    evaluator = ReferenceEvaluator(path)
    return [dict(zip(names, evaluator.run(None, {evaluator.input_names[0]: x}))) for x in batches], "onnx's evaluator"


def in_two_steps(command, path, x, cuts, depth=None):
    probe, out = command.new("probe.onnx"), command.new(f"merged{depth or 0}.onnx")
    command.run(path, "--instrument", "-o", probe, *(["--depth", str(depth)] if depth else []))
    onnx.checker.check_model(probe, full_check=True)
    outputs, runtime = elsewhere(probe, np.split(x, cuts))
    files = []
    for i, values in enumerate(outputs):
        files.append(command.new(f"batch{i}.npz"))
        np.savez(files[-1], **values)
    command.run(path, "--merge", *files, "-o", out)
    return out, runtime


def check_two_steps(command):
    for model in (chain(), branches(), at_the_beginning(), of_shapes(), shared_zeros(), chain(opset=9), chain(opset=18),
                  chain(("N", 3, 9)), as_constants()):
        path = command.put(model)
        x = samples([d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim], 12)
        want, _ = exact(model, x)
        out, runtime = in_two_steps(command, path, x, [])
        got = distance(statistics(onnx.load(out)), want)
        assert max(got) < ALLOWED, (runtime, got)
        deepest = json.loads(command.run(path, "--instrument", "-o", command.new("probe.onnx"), "--json").stdout)["deepest"]
        for depth in range(1, deepest + 1):
            path, _ = in_two_steps(command, path, x, [5, 9], depth)
        got = distance(statistics(onnx.load(path)), want)
        assert max(got) < ALLOWED, (model.graph.name, deepest, got)
    print(f"--instrument and --merge through {runtime}")
    return runtime


def cut(path, count):
    with open(path, "rb") as f:
        data = f.read()
    with open(path, "wb") as f:
        f.write(data[:count])


def check_wrong_data(command):
    """A clear error for each, and no file."""
    path, out = command.put(chain()), command.new("none.onnx")
    x, name = samples([0, 3, 8, 8]), command.new("bad.npy")

    def refused(words, *more, data=name, model=path):
        done = command.run(model, "--data", data, "-o", out, *more, code=1)
        assert words in done.stderr and len(done.stderr.splitlines()) == 1, (words, done.stderr)
        assert not os.path.exists(out) and not command.left()

    np.save(name, x)
    size = os.path.getsize(name)
    for count, words in ((size - 1, "bytes follow the header; the shape (11, 3, 8, 8) needs"), (40, "ends inside its header"),
                         (3, "is no .npy file: it has only 3 bytes")):
        np.save(name, x)
        cut(name, count)
        refused(words)
    for value, words in ((np.nan, "a number that is not finite (NaN) in sample 2"), (-np.inf, "(infinity) in sample 2")):
        bad = x.copy()
        bad[6, 1, 2, 3] = value
        np.save(name, bad)
        refused(words, "--batch", "4")
    for wrong in (x[:, :2], x[0], x[..., :1, None], np.float32(1)):
        np.save(name, wrong)
        refused("of the model takes (N, 3, 8, 8)")
    np.save(name, x[:0])
    refused("has no samples")
    np.save(name, np.asfortranarray(x))
    refused("row-major order")
    np.save(name, x.astype(np.complex64))
    refused("bad.npy")
    np.save(name, np.full_like(x, 3e38))  # overflows in the first convolution
    refused('what arrives at "batchnormalization8_node" is not finite')
    np.save(name, x)
    refused("are for images", "--mean", "0.5")
    refused("No such file", data=command.new("nowhere"))
    os.mkdir(command.new("empty"))
    refused("has neither .npy files nor PNG or JPEG files", data=command.new("empty"))
    with open(command.new("photo.png"), "wb") as f:
        f.write(b"this is no image")
    refused("photo.png", data=command.new("photo.png"))
    refused("--batch: the model takes 4 at a time", "--batch", "5", model=command.put(chain((4, 3, 8, 8)), "fixed.onnx"))
    np.save(name, x[:3])
    refused("has 3 samples, and the model takes 4 at a time", model=command.new("fixed.onnx"))
    two = chain()
    two.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    refused("has 2 inputs", model=command.put(two, "two.onnx"))
    odd = chain()
    odd.graph.node[0].op_type = "Odd"
    refused("does not run it", model=command.put(odd, "odd.onnx"))
    # what is no whole batch is left out, and told
    np.save(name, x)
    told = json.loads(command.run(command.new("fixed.onnx"), "--data", name, "-o", command.new("out.onnx"), "--json").stdout)
    assert (told["samples"], told["batches"], told["left_out"]) == (8, 2, 3), told
    want, _ = exact(onnx.load(command.new("fixed.onnx")), x[:8])
    assert max(distance(statistics(onnx.load(command.new("out.onnx"))), want)) < ALLOWED


def check_data(command):
    """Folders of arrays, limits, integers, and images, which become what numpy makes of them."""
    path, out, folder = command.put(chain()), command.new("out.onnx"), command.new("batches")
    os.mkdir(folder)
    x = samples([0, 3, 8, 8])
    for i, part in enumerate(np.split(x, [2, 7])):
        np.save(os.path.join(folder, f"{i}.npy"), part.astype(np.float64))
    with open(os.path.join(folder, "notes.txt"), "w") as f:
        f.write("passed over")
    command.run(path, "--data", folder, "-o", out)
    assert max(distance(statistics(onnx.load(out)), exact(onnx.load(path), x)[0])) < ALLOWED
    command.run(path, "--data", folder, "-o", out, "--limit", "5")
    assert max(distance(statistics(onnx.load(out)), exact(onnx.load(path), x[:5])[0])) < ALLOWED
    whole = random.integers(0, 256, (6, 3, 8, 8), np.uint8)
    np.save(command.new("bytes.npy"), whole)
    command.run(path, "--data", command.new("bytes.npy"), "-o", out)
    assert max(distance(statistics(onnx.load(out)), exact(onnx.load(path), whole.astype(np.float32))[0])) < ALLOWED
    # an IDX set: grey becomes colour
    os.mkdir(command.new("idx"))
    pixels = random.integers(0, 256, (9, 8, 8), np.uint8)
    for part, count in (("train", 9), ("t10k", 3)):
        with open(command.new(f"idx/{part}-images-idx3-ubyte"), "wb") as f:
            f.write(bytes([0, 0, 8, 3]) + np.array([count, 8, 8], ">i4").tobytes() + pixels[:count].tobytes())
        with open(command.new(f"idx/{part}-labels-idx1-ubyte"), "wb") as f:
            f.write(bytes([0, 0, 8, 1]) + np.array([count], ">i4").tobytes() + bytes(i % 2 for i in range(count)))
    mean, std = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.25, 0.3])
    as_input = lambda rgb: ((rgb / 255 - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1)).astype(np.float32)
    command.run(path, "--data", command.new("idx"), "-o", out, "--mean", "0.4,0.5,0.6", "--std", "0.2,0.25,0.3")
    want, _ = exact(onnx.load(path), as_input(np.repeat(pixels[:, None], 3, 1)))
    assert max(distance(statistics(onnx.load(out)), want)) < ALLOWED
    if not png(command.new("probe.png"), np.zeros((8, 8, 3), np.uint8)):
        return
    os.makedirs(command.new("photos/more"))
    rgb = random.integers(0, 256, (7, 8, 8, 3), np.uint8)
    for i, photo in enumerate(rgb):
        png(command.new(f"photos/{'more/' if i % 2 else ''}{i}.png"), photo)
    how = ["--data", command.new("photos"), "-o", out, "--mean", "0.4,0.5,0.6", "--std", "0.2,0.25,0.3", "--batch", "3"]
    done = subprocess.run([command.path, "recalibrate", path, *how], capture_output=True, text=True, env=command.environment)
    if "libpng" in done.stderr:
        print("not run: images; the command was built without libpng")
        return
    assert done.returncode == 0, done
    want, _ = exact(onnx.load(path), as_input(rgb.transpose(0, 3, 1, 2)))
    assert max(distance(statistics(onnx.load(out)), want)) < ALLOWED
    g = Graph(("N", 8, 8, 3))  # channels last, as TensorFlow has them
    last = g.model(g.norm(g.node("Transpose", "x", perm=[0, 3, 1, 2]), 3))
    command.run(command.put(last, "last.onnx"), *how)
    want, _ = exact(last, as_input(rgb.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1))
    assert max(distance(statistics(onnx.load(out)), want)) < ALLOWED


def check_scale(command):
    """Mean and std of pixels come from the metadata, as export writes them; an option wins; others of that name are told."""
    out, data = command.new("out.onnx"), command.new("idx")
    with open(os.path.join(data, "train-images-idx3-ubyte"), "rb") as f:
        pixels = np.frombuffer(f.read()[16:], np.uint8).reshape(9, 1, 8, 8).repeat(3, 1) / 255

    def told(metadata, *options):
        model = chain()
        helper.set_model_props(model, metadata)
        path = command.put(model)
        done = command.run(path, "--data", data, "-o", out, "--json", *options)
        said = json.loads(done.stdout)
        mean, std = (np.broadcast_to(said[k], 3).reshape(-1, 1, 1) for k in ("mean", "std"))
        want, _ = exact(model, ((pixels - mean) / std).astype(np.float32))
        assert max(distance(statistics(onnx.load(out)), want)) < ALLOWED, (metadata, options)
        return [said[k] for k in ("mean", "mean_from", "std", "std_from")], done.stderr

    good = {"other": "x", "mean": "0.4 0.5 0.6", "std": "0.2 0.25 0.3"}
    assert told({}) == ([[0], "default", [1], "default"], "")
    assert told(good) == ([[0.4, 0.5, 0.6], "metadata", [0.2, 0.25, 0.3], "metadata"], "")
    assert told(good, "--std", "0.5") == ([[0.4, 0.5, 0.6], "metadata", [0.5], "option"], "")
    assert told(good, "--mean", "0.1,0.2,0.3", "--std", "2") == ([[0.1, 0.2, 0.3], "option", [2], "option"], "")
    text = command.run(command.new("model.onnx"), "--data", data, "--check", "--std", "2").stdout
    assert "\nimages: mean 0.4,0.5,0.6 (of the model's metadata), std 2 (of the option)\n" in text, text
    for odd in ({"mean": "0.5", "std": "0.2"}, {"mean": "123 117 104", "std": "58 57 57"}, {"mean": "a", "std": "b"},
                {"mean": "0.4 0.5 0.6"}, {"mean": "0.4 0.5 0.6", "std": "0.2 0 0.3"},
                {"mean": "0.4 0.5 0.6 0.7", "std": "1 1 1"}):
        got, stderr = told(odd)
        assert got == [[0], "default", [1], "default"] and "is not that of the 3 channels of pixels from 0 to 1" in stderr, odd
        assert odd["mean"] in stderr and told(odd, "--mean", "0", "--std", "1")[1] == "", odd
    whole = command.put(bytes_first(), "whole.onnx")
    assert "mean" not in json.loads(command.run(whole, "--data", data, "--check", "--json").stdout)
    done = command.run(whole, "--data", data, "--check", "--mean", "0.5", code=1)
    assert "takes as whole numbers from 0 to 255: --mean and --std are for floats" in done.stderr, done


def png(path, pixels):
    """Writes an image of colours; False without the module."""
    try:
        import struct
        import zlib
    except ImportError:
        return False
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return True


def check_killed(command):
    """Whatever signal ends it, and whenever: the output is as it was, or whole, and no file is left; but of one that was killed
    while it wrote, which the next run removes."""
    path, out = command.put(chain(("N", 3, 32, 32), depth=5)), command.new("kept.onnx")
    np.save(command.new("big.npy"), samples([0, 3, 32, 32], 600))
    before = [*os.listdir(command.folder), "kept.onnx"]
    others = lambda: [n for n in os.listdir(command.folder) if n not in before]
    arguments = [command.path, "recalibrate", path, "--data", command.new("big.npy"), "-o", out, "--memory", "0", "--batch",
                 "8"]
    start = time.monotonic()
    subprocess.run(arguments, check=True, capture_output=True, env=command.environment)
    whole, ended = time.monotonic() - start, 0
    for i in range(24):
        with open(out, "wb") as f:
            f.write(b"as it was")
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=command.environment)
        try:
            process.wait(whole * (i + 1) / 20)
        except subprocess.TimeoutExpired:
            process.send_signal((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[i % 3])
            process.wait()
            ended += 1
            with open(out, "rb") as f:
                if f.read() != b"as it was":
                    onnx.checker.check_model(out)
        process.communicate()
        if others() and process.returncode == -signal.SIGKILL:
            subprocess.run(arguments, check=True, capture_output=True, env=command.environment)
        assert not command.left() and not others(), (command.left(), others())
    assert ended > 3, ended


def check_lookup(command):
    """ONNX Runtime by an option, a variable, the loader's path and the python3 on the PATH."""
    path, data = command.put(chain()), command.new("x.npy")
    np.save(data, samples([0, 3, 8, 8]))
    bare = {n: v for n, v in os.environ.items() if n not in ("VIRTUAL_ENV", "LD_LIBRARY_PATH", "BATCHNORM_ONNXRUNTIME")}
    nothing, tools = command.new("nothing"), command.new("tools")
    os.mkdir(nothing)
    os.mkdir(tools)
    with open(os.path.join(tools, "python3"), "w") as f:
        f.write(f"#!/bin/sh\nPATH=/usr/bin:/bin exec {sys.executable} \"$@\"\n")
    os.chmod(os.path.join(tools, "python3"), 0o755)
    file = os.path.join(library, next(n for n in os.listdir(library) if n.startswith("libonnxruntime.so")))
    check = [command.path, "recalibrate", path, "--data", data, "--check"]
    for environment, more in (({}, ["--runtime", library]), ({}, ["--runtime", file]), ({"BATCHNORM_ONNXRUNTIME": library}, []),
                              ({"BATCHNORM_ONNXRUNTIME": file}, []), ({"LD_LIBRARY_PATH": library}, []), ({"PATH": tools}, []),
                              ({"VIRTUAL_ENV": sys.prefix}, [])):
        done = subprocess.run(check + more, capture_output=True, text=True, env={**bare, "PATH": nothing, **environment})
        assert done.returncode == 0, (environment, more, done)
    done = subprocess.run(check, capture_output=True, text=True, env={**bare, "PATH": nothing})
    assert done.returncode == 0 or "ONNX Runtime was not found" in done.stderr, done


def check_picture(command):
    path, out, picture = command.put(branches()), command.new("out.onnx"), command.new("drift.svg")
    np.save(command.new("x.npy"), samples([0, 3, 8, 8]))
    told = json.loads(command.run(path, "--data", command.new("x.npy"), "-o", out, "--svg", picture, "--json").stdout)
    ElementTree.parse(picture)
    for norm in told["batch_norms"]:
        assert abs(norm["shift_after"]) < ALLOWED and abs(norm["ratio_after"] - 1) < ALLOWED, norm
        assert f"{norm['name']} before" in open(picture).read() and f"{norm['name']} after" in open(picture).read()
    assert any(abs(norm["shift_before"]) > 0.1 for norm in told["batch_norms"])


def photos(count, height, width, block):
    """Images of squares in different brightness and colours."""
    x = real_random.normal(size=(count, 3, height // block, width // block)).repeat(block, 2).repeat(block, 3)
    x = x * real_random.uniform(0.2, 0.8, (count, 1, 1, 1)) + real_random.uniform(-0.5, 0.5, (count, 3, 1, 1))
    return np.clip(x, -1, 1).astype(np.float32)


def real_models():
    folder = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "light")
    for name in ("light_resnet50", "light_shufflenet"):
        yield name, with_random_weights(onnx.load(os.path.join(folder, name + ".onnx"))), photos(2, 224, 224, 8)
    spec = importlib.util.find_spec("rapidocr_onnxruntime")
    where = os.environ.get("BATCHNORM_RAPIDOCR") or (spec and os.path.dirname(spec.origin))
    if not where:
        print("not run: the models of rapidocr_onnxruntime, which is not installed (nor at BATCHNORM_RAPIDOCR)")
        return
    cls = onnx.load(os.path.join(where, "models", "ch_ppocr_mobile_v2.0_cls_infer.onnx"))
    yield "ch_ppocr_mobile_v2.0_cls_infer", cls, photos(16, 48, 192, 4)


def with_random_weights(model):
    """The weights of a light model are all alike: others take their place, by the size of what they add up."""
    described = {n.output[0]: n for n in model.graph.node if n.op_type == "ConstantOfShape"}
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in list(model.graph.node):
        for name in node.input:
            maker = described.get(name)
            if maker is None or node.op_type not in ("Conv", "Gemm"):
                continue
            shape = [int(n) for n in values[maker.input[0]]]
            array = real_random.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:])))
            model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
            model.graph.node.remove(maker)
            del described[name]
    if model.ir_version < 4:
        model.ir_version = 4
    return model


def check_real(command):
    for name, model, x in real_models():
        path, out = command.put(model), command.new("out.onnx")
        np.save(command.new("x.npy"), x)
        want, outputs = exact(model, x)
        fixed = max(0, model.graph.input[0].type.tensor_type.shape.dim[0].dim_value)
        for size in [fixed] if fixed else (1, 5, 16):
            command.run(path, "--data", command.new("x.npy"), "-o", out, "--batch", str(size))
            got = distance(statistics(onnx.load(out)), want)
            assert max(got) < ALLOWED, (name, size, got)
        print(f"{name}: {len(want)} batch norms, means within {got[0]:.1e} sigma, variances within {got[1]:.1e}")
        good = outputs_of(out, x, fixed)
        spoilt = command.put(spoil(onnx.load(out), lambda v, i: np.zeros_like(v) if i == 4 else v + 3), "spoilt.onnx")
        bad = outputs_of(spoilt, x, fixed)
        assert not np.max(np.abs(bad - good)) < 1e-2, name
        command.run(spoilt, "--data", command.new("x.npy"), "-o", command.new("mended.onnx"))
        mended = outputs_of(command.new("mended.onnx"), x, fixed)
        assert np.max(np.abs(mended - good)) < 1e-4, (name, np.max(np.abs(mended - good)))


def outputs_of(path, x, fixed):
    session = onnxruntime.InferenceSession(path)
    pieces = np.split(x, len(x) // fixed) if fixed else [x]
    return np.concatenate([session.run(None, {session.get_inputs()[0].name: p})[0] for p in pieces])


def main(path):
    with tempfile.TemporaryDirectory() as folder:
        command = Command(path, folder)
        np.save(command.new("x.npy"), samples([0, 3, 8, 8]))
        first = subprocess.run([path, "recalibrate", command.put(chain()), "--data", command.new("x.npy"), "--check"],
                               capture_output=True, text=True, env=command.environment)
        if "no ONNX Runtime that can be loaded" in first.stderr:
            print("skipped: the command is of another kind than ONNX Runtime of this Python")
            return 77
        check_forms(command)
        check_types(command)
        check_external(command)
        check_shared(command)
        check_batches(command)
        check_left(command)
        check_wrong_data(command)
        check_data(command)
        check_scale(command)
        check_killed(command)
        check_lookup(command)
        check_picture(command)
        check_two_steps(command)
        check_real(command)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: recalibrate_models.py COMMAND")
    sys.exit(main(sys.argv[1]))
