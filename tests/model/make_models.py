#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tiny ONNX models, one for each way in which a batch norm can stand in a graph: make_models.py FOLDER.

Writes FOLDER/NAME.onnx for each, and FOLDER/list.txt: a line "NAME batch-norms left-after-fold" with what folding must leave.
Needs the packages onnx and numpy. Longer than 300 lines, because every pattern is one of its entries."""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(2026)
models = {}


def floats(*shape, low=-1.0, high=1.0):
    return random.uniform(low, high, shape).astype(np.float32)


class Graph:
    """A graph that grows node by node, with names that count up."""

    def __init__(self, x=(2, 3, 8, 8), dtype=np.float32):
        self.dtype, self.nodes, self.tensors, self.count = np.dtype(dtype), [], {}, 0
        self.inputs, self.outputs = {"x": (list(x), self.dtype)}, []

    def name(self, word):
        self.count += 1
        return f"{word}{self.count}"

    def constant(self, array, word="c"):
        name = self.name(word)
        self.tensors[name] = np.asarray(array)
        return name

    def node(self, op, *inputs, outputs=1, **attributes):
        names = [self.name(op.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=names[0] + "_node", **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x, outs, ins, kernel=(3, 3), bias=True, op="Conv", groups=1, **attributes):
        shape = (ins, outs // groups) if op == "ConvTranspose" else (outs, ins // groups)
        inputs = [x, self.constant(floats(*shape, *kernel).astype(self.dtype), "w")]
        if bias:
            inputs.append(self.constant(floats(outs).astype(self.dtype), "b"))
        return self.node(op, *inputs, group=groups, **attributes)

    def parameters(self, channels, shift=True, dtype=None, positive=False):
        dtype = dtype or self.dtype
        low = 0.5 if positive else -1.5
        scale, bias = floats(channels, low=low, high=1.5), floats(channels)
        mean, var = floats(channels), floats(channels, low=0.2, high=2)
        if not shift:
            bias, mean = np.zeros_like(bias), np.zeros_like(mean)
        return [self.constant(a.astype(dtype), "p") for a in (scale, bias, mean, var)]

    def norm(self, x, channels, parameters=None, eps=1e-3, **attributes):
        return self.node("BatchNormalization", x, *(parameters or self.parameters(channels)), epsilon=eps, **attributes)

    def output(self, *names):
        self.outputs += names

    def model(self, opset=17, ir=8, as_inputs=False, functions=()):
        kind = lambda dtype: helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        inputs = [helper.make_tensor_value_info(n, kind(d), s) for n, (s, d) in self.inputs.items()]
        if as_inputs:
            inputs += [helper.make_tensor_value_info(n, kind(a.dtype), a.shape) for n, a in self.tensors.items()]
        outputs = [helper.make_tensor_value_info(n, kind(self.dtype), None) for n in self.outputs]
        tensors = [numpy_helper.from_array(a, n) for n, a in self.tensors.items()]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, tensors)
        imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(f.domain, 1) for f in functions]
        return helper.make_model(graph, opset_imports=imports, ir_version=ir, functions=list(functions))


def add(name, graph, left, before=None, **how):
    model = graph if isinstance(graph, onnx.ModelProto) else graph.model(**how)
    count = sum(n.op_type == "BatchNormalization" for n in model.graph.node) if before is None else before
    inferred = {o.name: o for o in onnx.shape_inference.infer_shapes(model).graph.output}
    for o in model.graph.output:  # the checker wants their shapes
        if not o.type.tensor_type.HasField("shape"):
            o.type.tensor_type.shape.CopyFrom(inferred[o.name].type.tensor_type.shape)
            o.type.tensor_type.shape.SetInParent()
    models[name] = (model, count, left)


def simple(build, channels, x=(2, 3, 8, 8), dtype=np.float32, **norm):
    """input - build - batch norm - output"""
    g = Graph(x, dtype)
    g.output(g.norm(build(g, "x"), channels, **norm))
    return g


def behind(build, channels=4, x=(2, 3, 8, 8)):
    """input - Conv of 4 channels - build - batch norm - output"""
    return simple(lambda g, v: build(g, g.conv(v, 4, 3)), channels, x)


def before(build, x=(2, 3, 8, 8), channels=3, **parameters):
    """input - batch norm - build - output"""
    g = Graph(x)
    g.output(build(g, g.norm("x", channels, g.parameters(channels, **parameters))))
    return g


def convolutions():
    add("conv", simple(lambda g, x: g.conv(x, 4, 3, bias=False), 4), 0)
    add("conv_bias", simple(lambda g, x: g.conv(x, 4, 3), 4), 0)
    add("conv_1d", simple(lambda g, x: g.conv(x, 4, 3, (3,)), 4, (2, 3, 9)), 0)
    add("conv_3d", simple(lambda g, x: g.conv(x, 4, 3, (2, 2, 2)), 4, (2, 3, 5, 5, 5)), 0)
    add("conv_grouped", simple(lambda g, x: g.conv(x, 6, 4, groups=2), 6, (2, 4, 8, 8)), 0)
    add("conv_depthwise", simple(lambda g, x: g.conv(x, 4, 4, groups=4), 4, (2, 4, 8, 8)), 0)
    add("conv_padded", simple(lambda g, x: g.conv(x, 4, 3, pads=[1, 1, 1, 1]), 4), 0)
    add("transpose", simple(lambda g, x: g.conv(x, 4, 3, op="ConvTranspose"), 4), 0)
    add("transpose_grouped", simple(lambda g, x: g.conv(x, 6, 4, op="ConvTranspose", groups=2), 6, (2, 4, 5, 5)), 0)
    add("transpose_strided", simple(lambda g, x: g.conv(x, 4, 3, op="ConvTranspose", strides=[2, 2], bias=False), 4), 0)
    add("transpose_1d", simple(lambda g, x: g.conv(x, 4, 3, (3,), op="ConvTranspose"), 4, (2, 3, 9)), 0)
    add("float64", simple(lambda g, x: g.conv(x, 4, 3), 4, dtype=np.float64), 0)
    add("float16", simple(lambda g, x: g.conv(x, 4, 3), 4, dtype=np.float16), 0)
    for opset in (7, 9, 14, 22):
        add(f"opset_{opset}", simple(lambda g, x: g.conv(x, 4, 3), 4).model(opset, 4 if opset < 9 else 8), 0)


def products():
    flat = (5, 3)
    gemm = lambda **a: (lambda g, x: g.node("Gemm", x, g.constant(floats(*((4, 3) if a.get("transB") else (3, 4)))),
                                            g.constant(floats(4)), **a))
    add("gemm", simple(gemm(), 4, flat), 0)
    add("gemm_transposed", simple(gemm(transB=1), 4, flat), 0)
    add("gemm_alpha_beta", simple(gemm(alpha=2.0, beta=0.5), 4, flat), 0)
    add("gemm_without_c", simple(lambda g, x: g.node("Gemm", x, g.constant(floats(3, 4)), beta=0.25), 4, flat), 0)
    add("gemm_scalar_c", simple(lambda g, x: g.node("Gemm", x, g.constant(floats(3, 4)), g.constant(floats(1))), 4, flat), 0)
    add("gemm_row_c", simple(lambda g, x: g.node("Gemm", x, g.constant(floats(3, 4)), g.constant(floats(1, 4))), 4, flat), 0)
    add("gemm_matrix_c", simple(lambda g, x: g.node("Gemm", x, g.constant(floats(3, 4)), g.constant(floats(5, 4))), 4, flat), 1)
    product = lambda g, x: g.node("MatMul", x, g.constant(floats(3, 4)))
    add("matmul", simple(product, 4, flat), 0)
    add("matmul_add", simple(lambda g, x: g.node("Add", product(g, x), g.constant(floats(4))), 4, flat), 0)
    add("matmul_3d", simple(lambda g, x: g.node("MatMul", x, g.constant(floats(3, 4))), 6, (5, 6, 3)), 1)
    add("matmul_3d_square", simple(lambda g, x: g.node("MatMul", x, g.constant(floats(3, 4))), 4, (5, 4, 3)), 1)


def between():
    add("conv_add", behind(lambda g, v: g.node("Add", v, g.constant(floats(1, 4, 1, 1)))), 0)
    add("conv_add_first", behind(lambda g, v: g.node("Add", g.constant(floats(4, 1, 1)), v)), 0)
    add("conv_add_scalar", behind(lambda g, v: g.node("Add", v, g.constant(np.float32(0.75)))), 0)
    add("conv_mul", behind(lambda g, v: g.node("Mul", v, g.constant(floats(4, 1, 1)))), 0)
    add("conv_sub", behind(lambda g, v: g.node("Sub", v, g.constant(floats(4, 1, 1)))), 0)
    add("conv_sub_from", behind(lambda g, v: g.node("Sub", g.constant(floats(4, 1, 1)), v)), 0)
    add("conv_div", behind(lambda g, v: g.node("Div", v, g.constant(floats(4, 1, 1, low=0.5)))), 0)
    add("conv_add_plane", behind(lambda g, v: g.node("Add", v, g.constant(floats(6, 6)))), 1)
    add("conv_identity", behind(lambda g, v: g.node("Identity", v)), 0)
    add("conv_dropout", behind(lambda g, v: g.node("Dropout", v)), 0)
    add("conv_dropout_training",
        behind(lambda g, v: g.node("Dropout", v, g.constant(np.float32(0.0)), g.constant(np.array(True)))), 1)
    add("conv_relu", behind(lambda g, v: g.node("Relu", v)), 1)
    add("conv_norm_norm", behind(lambda g, v: g.norm(v, 4)), 0)
    g = Graph()
    g.output(g.norm(g.norm("x", 3), 3))
    add("norm_norm", g, 1)
    squeezed = lambda g, v: g.node("Squeeze", g.conv(v, 4, 3, (8, 1)), g.constant(np.array([2])))
    add("conv_squeeze", simple(squeezed, 4), 0)
    squeezed = lambda g, v: g.node("Squeeze", g.conv(v, 4, 3, (1, 8)), g.constant(np.array([-1])))
    add("conv_squeeze_last", simple(squeezed, 4), 0)
    add("conv_unsqueeze", behind(lambda g, v: g.node("Unsqueeze", v, g.constant(np.array([4])))), 0)
    add("conv_squeeze_sample", simple(lambda g, v: g.node("Squeeze", g.conv(v, 4, 3, (1,)), g.constant(np.array([0]))), 9,
                                      (1, 3, 9)), 1)
    add("conv_flatten", simple(lambda g, v: g.node("Flatten", g.conv(v, 4, 3, (8, 8))), 4), 0)
    add("conv_flatten_planes", behind(lambda g, v: g.node("Flatten", v), 144), 1)
    pool = lambda op, **a: behind(lambda g, v: g.node(op, v, **a))
    add("conv_average", pool("AveragePool", kernel_shape=[2, 2]), 0)
    add("conv_average_padded", pool("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 0)
    add("conv_average_with_zeros", pool("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1), 1)
    add("conv_global_average", pool("GlobalAveragePool"), 0)
    add("conv_max", pool("MaxPool", kernel_shape=[2, 2]), 1)
    g = Graph()
    g.output(g.norm(g.node("MaxPool", g.conv("x", 4, 3), kernel_shape=[2, 2]), 4, g.parameters(4, positive=True)))
    add("conv_max_positive", g, 0)
    g = Graph()
    v = g.node("Mul", g.norm(g.conv("x", 4, 3), 4), g.constant(floats(4, 1, 1)))
    g.output(g.node("Add", v, g.constant(floats(4, 1, 1))))
    add("conv_norm_mul_add", g, 0)
    g = Graph()
    g.output(g.node("Add", g.node("Mul", g.norm("x", 3), g.constant(floats(3, 1, 1))), g.constant(floats(3, 1, 1))))
    add("norm_mul_add", g, 1)
    g = Graph()
    a, b = g.conv("x", 4, 3), g.conv("x", 2, 3)
    g.output(g.norm(g.node("Concat", a, b, axis=1), 6))
    add("concat", g, 0)
    g = Graph()
    a, b = g.conv("x", 4, 3), g.node("Relu", g.conv("x", 2, 3))
    g.output(g.norm(g.node("Concat", a, b, axis=1), 6))
    add("concat_with_relu", g, 1)
    g = Graph()
    a, b = g.conv("x", 4, 3), g.conv("x", 4, 3)
    g.output(g.norm(g.node("Concat", a, b, axis=0), 4))
    add("concat_of_samples", g, 1)
    g = Graph()
    g.output(g.norm(g.node("Add", g.conv("x", 4, 3), g.conv("x", 4, 3)), 4))
    add("residual", g, 1)


def forwards():
    add("norm_conv", before(lambda g, v: g.conv(v, 4, 3)), 0)
    add("norm_conv_grouped", before(lambda g, v: g.conv(v, 6, 4, groups=2), (2, 4, 8, 8), 4), 0)
    add("norm_conv_without_bias", before(lambda g, v: g.conv(v, 4, 3, bias=False)), 0)
    add("norm_conv_padded", before(lambda g, v: g.conv(v, 4, 3, pads=[1, 1, 1, 1])), 0)
    add("norm_conv_same", before(lambda g, v: g.conv(v, 4, 3, auto_pad="SAME_UPPER")), 0)
    add("norm_conv_padded_without_shift", before(lambda g, v: g.conv(v, 4, 3, pads=[1, 1, 1, 1]), shift=False), 0)
    add("norm_transpose", before(lambda g, v: g.conv(v, 4, 3, op="ConvTranspose")), 1)
    add("norm_transpose_without_shift", before(lambda g, v: g.conv(v, 4, 3, op="ConvTranspose"), shift=False), 0)
    flat = (5, 3)
    gemm = lambda g, v: g.node("Gemm", v, g.constant(floats(3, 4)), g.constant(floats(4)), alpha=0.5)
    add("norm_gemm", before(gemm, flat), 0)
    add("norm_gemm_transposed", before(lambda g, v: g.node("Gemm", v, g.constant(floats(4, 3)), transB=1), flat), 0)
    add("norm_matmul", before(lambda g, v: g.node("MatMul", v, g.constant(floats(3, 4))), flat), 0)
    add("norm_flatten_gemm", before(lambda g, v: g.node("Gemm", g.node("Flatten", v), g.constant(floats(192, 4)))), 0)
    add("norm_mul_conv", before(lambda g, v: g.conv(g.node("Mul", v, g.constant(floats(3, 1, 1))), 4, 3)), 0)
    add("norm_average_conv", before(lambda g, v: g.conv(g.node("AveragePool", v, kernel_shape=[2, 2]), 4, 3)), 0)
    add("norm_relu_conv", before(lambda g, v: g.conv(g.node("Relu", v), 4, 3)), 1)
    g = Graph()
    v = g.norm("x", 3)
    g.output(g.conv(v, 4, 3), g.conv(v, 4, 3))
    add("norm_two_convs", g, 1)
    g = Graph()
    g.output(g.conv(g.norm(g.conv("x", 4, 3), 4), 5, 4))
    add("conv_norm_conv", g, 0)


def sharing():
    g = Graph()
    w, b = g.constant(floats(4, 3, 3, 3)), g.constant(floats(4))
    g.output(*[g.norm(g.node("Conv", "x", w, b), 4) for _ in range(2)])
    add("shared_weights", g, 0)
    g = Graph()
    w, b = g.constant(floats(4, 3, 3, 3)), g.constant(floats(4))
    g.output(g.norm(g.node("Conv", "x", w, b), 4), g.node("Conv", "x", w, b))
    add("shared_weights_one_norm", g, 0)
    g = Graph()
    p = g.parameters(4)
    g.output(*[g.norm(g.conv("x", 4, 3), 4, p) for _ in range(2)])
    add("shared_parameters", g, 0)
    g = Graph()
    v = g.conv("x", 4, 3)
    g.output(g.norm(v, 4), g.node("Relu", v))
    add("two_users", g, 1)
    g = Graph()
    v = g.conv("x", 4, 3)
    g.output(g.norm(v, 4), v)
    add("output_between", g, 1)
    g = Graph()
    p = g.constant(floats(4, low=0.5, high=2), "all")
    g.output(g.norm(g.node("Conv", "x", g.constant(floats(4, 3, 3, 3)), p), 4, [p] * 4))
    add("shared_everything", g, 0)


def places():
    conv = lambda g, x: g.conv(x, 4, 3)
    add("inputs_ir3", simple(conv, 4).model(8, 3, as_inputs=True), 0)
    add("inputs_ir8", simple(conv, 4).model(17, 8, as_inputs=True), 1)
    g = simple(conv, 4)
    constants = [helper.make_node("Constant", [], [n], value=numpy_helper.from_array(a)) for n, a in g.tensors.items()]
    g.nodes, g.tensors = constants + g.nodes, {}
    add("constant_nodes", g, 0)
    g = Graph()
    w = g.node("Mul", g.constant(floats(4, 3, 3, 3)), g.constant(floats(4, 1, 1, 1)))
    g.output(g.norm(g.node("Conv", "x", w), 4))
    add("computed_weights", g, 0)
    g = Graph()
    w = g.node("Mul", g.node("Cast", g.constant(random.integers(-99, 99, (4, 3, 3, 3)).astype(np.int8)), to=1),
               g.constant(floats(4, 1, 1, 1)))
    g.output(g.norm(g.node("Conv", "x", w), 4))
    add("cast_weights", g, 0)
    g = Graph()
    w = g.node("DequantizeLinear", g.constant(random.integers(-99, 99, (4, 3, 3, 3)).astype(np.int8)),
               g.constant(np.float32(0.02)), g.constant(np.int8(0)))
    g.output(g.norm(g.node("Conv", "x", w), 4))
    add("quantized_weights", g, 1)
    g = Graph()
    g.inputs["w"] = ([4, 3, 3, 3], np.dtype(np.float32))
    g.output(g.norm(g.node("Conv", "x", "w"), 4))
    add("runtime_weights", g, 1)
    g = Graph()
    w = g.node("Identity", g.constant(floats(4, 3, 3, 3)))
    p = [g.node("Identity", n) for n in g.parameters(4)]
    g.output(g.norm(g.node("Conv", "x", w), 4, p))
    add("identities", g, 0)
    model = simple(conv, 4).model()
    for t in model.graph.initializer:
        array = numpy_helper.to_array(t)
        del t.float_data[:]
        t.raw_data = b""
        t.ClearField("raw_data")
        t.float_data.extend(array.ravel().tolist())
    add("float_data", model, 0)
    model = simple(conv, 4, dtype=np.float16).model()
    for t in model.graph.initializer:
        bits = numpy_helper.to_array(t).view(np.uint16)
        t.ClearField("raw_data")
        t.int32_data.extend(bits.ravel().tolist())
    add("int32_data", model, 0)
    g = simple(conv, 4, dtype=np.float16)
    for n in list(g.tensors)[2:]:
        g.tensors[n] = g.tensors[n].astype(np.float32)
    add("mixed_types", g.model(15, 8), 0)


def modes():
    g = Graph()
    g.output(g.node("BatchNormalization", g.conv("x", 4, 3), *g.parameters(4), outputs=3, training_mode=1)[0])
    add("training_mode", g, 1)
    g = simple(lambda g, x: g.conv(x, 4, 3), 4, spatial=1)
    add("spatial_1", g.model(7, 4), 0)
    g = simple(lambda g, x: g.conv(x, 4, 3), 4, spatial=0)
    add("spatial_0_by_mistake", g.model(7, 4), 0)


def bodies():
    def branch(word):
        g = Graph()
        v = g.norm(g.conv("x", 4, 3), 4)
        info = helper.make_tensor_value_info(v + word, TensorProto.FLOAT, None)
        tensors = [numpy_helper.from_array(a, n + word) for n, a in g.tensors.items()]
        rename = lambda n: n if n == "x" else n + word
        nodes = [helper.make_node(n.op_type, [rename(i) for i in n.input], [rename(o) for o in n.output]) for n in g.nodes]
        for new, old in zip(nodes, g.nodes):
            new.attribute.extend(old.attribute)
        return helper.make_graph(nodes, word, [], [info], tensors)

    g = Graph()
    g.inputs["which"] = ([], np.dtype(bool))
    g.output(g.node("If", "which", then_branch=branch("then"), else_branch=branch("else")))
    add("inside_if", g, 0, before=2)

    g = Graph()
    v = g.norm(g.conv("x", 4, 3), 4)
    constants = [helper.make_node("Constant", [], [n], value=numpy_helper.from_array(a)) for n, a in g.tensors.items()]
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("local", "Block", ["x"], [v], constants + g.nodes, imports)
    g = Graph()
    g.nodes.append(helper.make_node("Block", ["x"], ["y"], domain="local"))
    g.output("y")
    add("inside_function", g.model(functions=[function]), 0, before=1)


def names():
    model = simple(lambda g, x: g.conv(x, 4, 3), 4).model()
    model.graph.initializer[0].name = odd = "a/b:c d.ü%s\n"
    model.graph.node[0].input[1] = odd
    add("odd_names", model, 0)
    model = simple(lambda g, x: g.conv(x, 4, 3, bias=False), 4).model()
    for n in model.graph.node:
        n.name = ""
    model.graph.node[0].input.append("")
    add("empty_names", model, 0)
    g = simple(lambda g, x: g.conv(x, 4, 3, bias=False), 4)
    model = g.model()
    model.graph.initializer.append(numpy_helper.from_array(floats(2), model.graph.node[0].input[1] + "_bias"))
    model.graph.output.append(helper.make_tensor_value_info(model.graph.initializer[-1].name, TensorProto.FLOAT, [2]))
    add("taken_name", model, 0)
    g = Graph()
    g.output(g.node("BatchNormalization", g.conv("x", 4, 3), *g.parameters(4)))
    add("no_eps", g, 0)
    add("scalar_channel", simple(lambda g, x: g.conv(x, 1, 3), 1), 0)


def numbers():
    g = Graph(dtype=np.float16)
    p = [g.constant(a.astype(np.float16)) for a in (np.full(4, 6e4), np.zeros(4), np.zeros(4), np.full(4, 1e-4))]
    g.output(g.norm(g.conv("x", 4, 3), 4, p, eps=1e-5))
    add("overflow", g, 1)
    g = Graph()
    p = g.parameters(4)
    g.tensors[p[3]][1] = np.nan
    g.output(g.norm(g.conv("x", 4, 3), 4, p))
    add("nan", g, 1)
    g = Graph()
    p = g.parameters(4)
    g.tensors[p[0]][:2] = 0, 1e-42
    g.tensors[p[3]][2:] = 0, 1e-42
    g.output(g.norm(g.conv("x", 4, 3), 4, p))
    add("zeros_and_subnormals", g, 0)


def traps():
    """Models that a fold would change although its formula holds."""
    half = lambda k, b, w, **a: half_model(lambda g, v: g.conv(g.norm(v, 4, half_parameters(g, k, b)), 4, 4, **a), w)
    after = lambda k, w: half_model(lambda g, v: g.norm(g.conv(v, 4, 4), 4, half_parameters(g, k, 0)), w)
    add("half_small", after(0.02, 0.005), 0)  # many products are subnormal, which F16 has digits for
    add("half_too_small", after(0.001, 0.001), 1)
    add("half_before_too_small", half(0.001, 0.3, 0.001), 1)
    add("half_padded_shift_too_large", half(0.001, 70, 1, pads=[1, 1, 1, 1]), 1)
    for name, k, b in ("shift_too_large", 1e-30, 1e10), ("shift_not_finite", 1e-42, 0.3), ("scale_flushed", 3e-38, 0.3):
        g = Graph((2, 4, 8, 8))
        p = [g.constant(np.full(4, v, np.float32)) for v in (k, b, 0, 1)]
        g.output(g.conv(g.norm("x", 4, p, eps=0.0), 4, 4, pads=[1, 1, 1, 1]))
        add("padded_" + name, g, 1)
    g = Graph()
    y, where = g.node("MaxPool", g.norm(g.conv("x", 4, 3), 4, g.parameters(4, positive=True)), outputs=2, kernel_shape=[2, 2])
    g.output(g.conv(y, 3, 4), g.node("Cast", where, to=TensorProto.FLOAT))
    add("max_with_places", g, 0)  # into the Conv before it, not into the one after the MaxPool
    g = Graph()
    y, where = g.node("MaxPool", g.conv("x", 4, 3), outputs=2, kernel_shape=[2, 2])
    g.output(g.norm(y, 4, g.parameters(4, positive=True)), g.node("Cast", where, to=TensorProto.FLOAT))
    add("norm_after_max_with_places", g, 1)
    for name, op, attribute, build in (
        ("eps", "BatchNormalization", "epsilon", lambda g: g.norm(g.conv("x", 4, 3), 4)),
        ("mode", "BatchNormalization", "training_mode", lambda g: g.norm(g.conv("x", 4, 3), 4, training_mode=0)),
        ("pads", "Conv", "pads", lambda g: g.conv(g.norm("x", 3), 4, 3, pads=[0, 0, 0, 0])),
    ):
        add("reference_to_" + name, referring(op, attribute, build), 1, before=1)
    model = simple(lambda g, x: g.conv(x, 4, 3, bias=False), 4).model()
    values = numpy_helper.from_array(floats(1), model.graph.node[0].input[1] + "_bias")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([1])), [4])
    model.graph.sparse_initializer.append(sparse)
    add("taken_sparse_name", model, 0)
    g = Graph()
    g.output(g.norm(g.node("Concat", g.conv("x", 4, 3), g.conv("x", 2, 3), axis=-3), 6))
    add("concat_from_the_end", g, 0)
    add("conv_flatten_from_the_end",
        simple(lambda g, v: g.node("Flatten", g.conv(v, 4, 3, (8, 8)), axis=-3), 4), 0)
    g = Graph()
    like = g.node("CastLike", g.node("Constant", value_float=0.5), g.constant(floats(1)))
    bias = g.node("Expand", like, g.constant(np.array([4])))
    g.output(g.norm(g.node("Conv", "x", g.constant(floats(4, 3, 3, 3)), bias), 4))
    add("bias_expanded", g, 0)


def sizes():
    """Pools with ceil_mode, whose last window may be none: before opset 22 sizes are inferred that are too large, and ONNX
    Runtime puts two values of different sizes into one buffer if there is a Mul."""
    for name, opset, pool in (
        ("skips", 17, {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [2] * 4}),
        ("skips_in_one_axis", 17, {"kernel_shape": [3, 3], "strides": [1, 3], "pads": [1, 2] * 2}),
        ("skips_by_stride", 11, {"kernel_shape": [1, 1], "strides": [3, 3]}),
        ("skips_without_an_error", 22, {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [2] * 4}),
        ("never_skips", 17, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
        ("never_skips_dilated", 19, {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1] * 4, "dilations": [2, 2]}),
        ("is_same", 17, {"kernel_shape": [1, 1], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("is_off", 17, {"kernel_shape": [3, 3], "strides": [3, 3], "pads": [2] * 4, "ceil_mode": 0}),
    ):
        g = Graph((2, 5, 3, 3))
        v = g.node("MaxPool", "x", **{"ceil_mode": 1, **pool})
        g.output(g.norm("x", 5), g.node("AveragePool", v, kernel_shape=[2, 2], strides=[2, 2], pads=[1] * 4), g.norm(v, 5))
        add("ceil_mode_" + name, g.model(opset, 8 if opset < 20 else 10), 2)


def large():
    """Weights that are computed while the file is written, in their place and beside those of another Conv."""
    add("large_weights", simple(lambda g, x: g.conv(x, 70, 40), 70, (1, 40, 6, 6)), 0)
    for ir in 3, 8:
        g = Graph((1, 40, 6, 6))
        w, b = g.constant(floats(70, 40, 3, 3)), g.constant(floats(70))
        g.output(g.norm(g.node("Conv", "x", w, b), 70), g.node("Conv", "x", w, b))
        add(f"large_shared_weights_ir{ir}", g.model(8 if ir < 4 else 17, ir, as_inputs=ir < 4), 0)
    add("large_doubles", simple(lambda g, x: g.node("Gemm", x, g.constant(floats(130, 90).astype(np.float64), "w")), 90,
                                (3, 130), np.float64), 0)
    g = Graph((1, 40, 6, 6), np.float16)
    g.output(g.norm(g.conv("x", 140, 40), 140, half_parameters(g, 0.5, 1, 140)))
    add("large_half", g, 0)


def half_parameters(g, k, b, channels=4):
    return [g.constant(np.full(channels, v, np.float16)) for v in (k, b, 0, 1)]


def half_model(build, w):
    g = Graph((2, 4, 8, 8), np.float16)
    g.output(build(g, "x"))
    for name in g.tensors:
        if name[0] == "w":
            g.tensors[name] = (g.tensors[name] * np.float16(w)).astype(np.float16)
    return g


def referring(op, attribute, build):
    """A function of which an attribute is told by the call."""
    g = Graph()
    v = build(g)
    constants = [helper.make_node("Constant", [], [n], value=numpy_helper.from_array(a)) for n, a in g.tensors.items()]
    function = helper.make_function("local", "Block", ["x"], [v], constants + g.nodes, [helper.make_opsetid("", 17)], ["told"])
    for n in function.node:
        if n.op_type != op:
            continue
        for a in n.attribute:
            if a.name == attribute:
                told = onnx.AttributeProto(name=attribute, ref_attr_name="told", type=a.type)
                value = helper.get_attribute_value(a)
                a.CopyFrom(told)
    g = Graph()
    value = 0.5 if isinstance(value, float) else value if isinstance(value, int) else [1] * len(value)
    g.nodes.append(helper.make_node("Block", ["x"], ["y"], domain="local", told=value))
    g.output("y")
    return g.model(functions=[function])


def main(folder):
    for make in (convolutions, products, between, forwards, sharing, places, modes, bodies, names, numbers, traps, sizes,
                 large):
        make()
    with open(f"{folder}/list.txt", "w") as listing:
        for name, (model, count, left) in models.items():
            onnx.save(model, f"{folder}/{name}.onnx")
            print(name, count, left, file=listing)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_models.py FOLDER")
    main(sys.argv[1])
