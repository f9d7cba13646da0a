# SPDX-License-Identifier: MIT
"""Population statistics of a model by definition, in numpy and float64: all samples are one batch, and every batch norm
normalizes with the statistics of what arrives at it. Neither ONNX Runtime nor the library has a part in it."""
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from onnx import helper, numpy_helper


def windows(x, kernel, attributes, fill=0.0):
    """(N, C, ...) as (N, C, outputs..., kernel...), padded."""
    rank = x.ndim - 2
    pads, strides = attributes.get("pads", [0] * 2 * rank), attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    if attributes.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER"):
        whole = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(x.shape[2:], strides, kernel)]
        less, more = [w // 2 for w in whole], [w - w // 2 for w in whole]
        pads = less + more if attributes["auto_pad"] == "SAME_UPPER" else more + less
    after = list(pads[rank:])
    if attributes.get("ceil_mode"):
        after = [a + (-(n + b + a - k)) % s for a, b, n, k, s in zip(after, pads, x.shape[2:], kernel, strides)]
    x = np.pad(x, [(0, 0), (0, 0)] + list(zip(pads[:rank], after)), constant_values=fill)
    spread = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    w = sliding_window_view(x, spread, axis=tuple(range(2, 2 + rank)))
    return w[(slice(None),) * 2 + tuple(slice(None, None, s) for s in strides) + tuple(slice(None, None, d) for d in dilations)]


def convolution(x, w, bias, attributes):
    groups, rank = attributes.get("group", 1), x.ndim - 2
    outs = []
    for group, weights in zip(np.split(x, groups, 1), np.split(w, groups, 0)):
        seen = windows(group, w.shape[2:], attributes)
        axes = [1] + list(range(2 + rank, 2 + 2 * rank))
        outs.append(np.moveaxis(np.tensordot(seen, weights, (axes, list(range(1, 2 + rank)))), -1, 1))
    y = np.concatenate(outs, 1)
    return y if bias is None else y + bias.reshape(-1, *[1] * rank)


def pool(x, attributes, average):
    kernel = attributes["kernel_shape"]
    axes = tuple(range(-len(kernel), 0))
    if not average:
        return windows(x, kernel, attributes, -np.inf).max(axes)
    sums = windows(x, kernel, attributes).sum(axes)
    counts = windows(np.ones_like(x[:1, :1]), kernel, attributes).sum(axes)
    return sums / (np.prod(kernel) if attributes.get("count_include_pad") else counts)


def reshape(x, shape):
    sizes = [x.shape[i] if n == 0 else int(n) for i, n in enumerate(shape)]
    if sizes[0] == 1 and -1 not in sizes and np.prod(sizes) != x.size:
        sizes[0] = -1  # of a model that takes one sample at a time
    return x.reshape(sizes)


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def operate(node, a, x):
    """The first output of a node, of attributes a and inputs x."""
    op = node.op_type
    spatial = tuple(range(2, x[0].ndim)) if x and x[0] is not None else ()
    simple = {
        "Relu": lambda: np.maximum(x[0], 0), "Sigmoid": lambda: 1 / (1 + np.exp(-x[0])), "Tanh": lambda: np.tanh(x[0]),
        "Identity": lambda: x[0], "Dropout": lambda: x[0], "Add": lambda: x[0] + x[1], "Sub": lambda: x[0] - x[1],
        "Mul": lambda: x[0] * x[1], "Div": lambda: x[0] / x[1], "Sum": lambda: sum(x),
        "Clip": lambda: np.clip(x[0], *(v for v in x[1:3])) if len(x) > 1 else np.clip(x[0], a.get("min"), a.get("max")),
        "HardSigmoid": lambda: np.clip(a.get("alpha", 0.2) * x[0] + a.get("beta", 0.5), 0, 1),
        "HardSwish": lambda: x[0] * np.clip(x[0] / 6 + 0.5, 0, 1),
        "Conv": lambda: convolution(x[0], x[1], x[2] if len(x) > 2 else None, a),
        "MaxPool": lambda: pool(x[0], a, False), "AveragePool": lambda: pool(x[0], a, True),
        "GlobalAveragePool": lambda: x[0].mean(spatial, keepdims=True),
        "Flatten": lambda: x[0].reshape(int(np.prod(x[0].shape[:a.get("axis", 1)])), -1),
        "Reshape": lambda: reshape(x[0], x[1]), "MatMul": lambda: x[0] @ x[1],
        "Concat": lambda: np.concatenate(x, a["axis"]), "Softmax": lambda: softmax(x[0], a.get("axis", -1)),
        "Gemm": lambda: a.get("alpha", 1.0) * (x[0].T if a.get("transA") else x[0]) @ (x[1].T if a.get("transB") else x[1]) +
        (a.get("beta", 1.0) * x[2] if len(x) > 2 else 0),
        "Shape": lambda: np.array(x[0].shape), "Cast": lambda: x[0],
        "Transpose": lambda: x[0].transpose(a["perm"]),
        "Unsqueeze": lambda: np.expand_dims(x[0], tuple(a["axes"])),
        "ConstantOfShape": lambda: np.full([int(n) for n in x[0]], numpy_helper.to_array(a["value"]).ravel()[0]),
        "Constant": lambda: numpy_helper.to_array(a["value"]),
        "Slice": lambda: x[0][tuple(slice(int(b), int(e)) for b, e in zip(x[1], x[2]))],
    }
    return simple[op]()


def wide(array):
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def exact(model, data, mend=True):
    """({batch norm: (mean, var)}, outputs) of a model; without `mend` its batch norms use the statistics that it has."""
    values = {t.name: wide(numpy_helper.to_array(t)) for t in model.graph.initializer}
    inputs = [i.name for i in model.graph.input if i.name not in values]
    values[inputs[0]] = data.astype(np.float64)
    found = {}
    for node in model.graph.node:
        a = {x.name: helper.get_attribute_value(x) for x in node.attribute}
        a = {k: v.decode() if isinstance(v, bytes) else v for k, v in a.items()}
        x = [values.get(n) for n in node.input]
        if node.op_type == "BatchNormalization":
            axes = (0, *range(2, x[0].ndim))
            mean, var = (x[0].mean(axes), x[0].var(axes)) if mend else (x[3], x[4])
            found[node.name or node.output[0]] = (mean, var)
            row = lambda v: v.reshape(-1, *[1] * (x[0].ndim - 2))
            y = (x[0] - row(mean)) / np.sqrt(row(var) + a.get("epsilon", 1e-5)) * row(x[1]) + row(x[2])
        else:
            y = wide(np.asarray(operate(node, a, x)))
        values[node.output[0]] = y
    return found, [values[o.name] for o in model.graph.output]


def statistics(model):
    """{batch norm: (mean, var)} that a model has in its file."""
    values = {t.name: wide(numpy_helper.to_array(t)) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Constant", "Identity"):
            a = {x.name: helper.get_attribute_value(x) for x in node.attribute}
            values[node.output[0]] = wide(np.asarray(operate(node, a, [values.get(n) for n in node.input])))
    return {n.name or n.output[0]: (values.get(n.input[3]), values.get(n.input[4])) for n in model.graph.node
            if n.op_type == "BatchNormalization"}


def distance(got, want):
    """The largest differences: of means in sigmas, of variances by themselves."""
    mean = var = 0.0
    for name, (m, v) in want.items():
        sigma = np.sqrt(np.maximum(v, 1e-30))
        mean = max(mean, float(np.max(np.abs(got[name][0] - m) / sigma)))
        var = max(var, float(np.max(np.abs(got[name][1] - v) / np.maximum(v, 1e-30))))
    return mean, var
