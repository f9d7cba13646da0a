# SPDX-License-Identifier: MIT
"""The operators, and those who trace graphs: torch.compile(), torch.export(), ONNX."""

import copy

import pytest
from torch import nn
from torch_networks import CLASSES, MobileNet, close, pair, torch

import batchnorm.torch

NONE = torch.empty(0)
ops = torch.ops.batchnorm


def numbers(*names):
    """Numbers of 6 channels, or tensors without elements."""
    return [torch.rand(6) + 0.5 if there else torch.empty(0) for there in names]


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "affine,tracks", [(True, True), (True, False), (False, True), (False, False)]
)
def test_opcheck(order, affine, tracks):
    x = torch.randn(2, 6, 3, 4).to(memory_format=order)
    weight, bias, mean, var = numbers(affine, affine, tracks, tracks)
    torch.library.opcheck(ops.forward.default, (x, weight, bias, mean, var, 0.1, 1e-5))
    if tracks:
        torch.library.opcheck(ops.infer.default, (x, weight, bias, mean, var, 1e-5))
    _, saved = ops.forward(x, weight, bias, mean, var, 0.1, 1e-5)
    for frozen in (False, True):
        torch.library.opcheck(
            ops.backward.default, (torch.randn_like(x), x, weight, bias, saved, frozen)
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_opcheck_types(dtype):
    x = torch.randn(2, 6, 3, 4).to(dtype)
    weight, bias, mean, var = (tensor.to(dtype) for tensor in numbers(1, 1, 1, 1))
    torch.library.opcheck(ops.forward.default, (x, weight, bias, mean, var, 0.1, 1e-5))


def test_operators_refuse():
    x = torch.randn(2, 6, 3, 4)
    for arguments in (
        (x, torch.ones(5), NONE, NONE, NONE, 0.1, 1e-5),
        (x, NONE, NONE, torch.ones(6), NONE, 0.1, 1e-5),
        (x, NONE, NONE, NONE, NONE, 0.1, -1.0),
        (x.to(torch.int64), NONE, NONE, NONE, NONE, 0.1, 1e-5),
        (x[:1, :, :1, :1], NONE, NONE, NONE, NONE, 0.1, 1e-5),
        (x[0, 0], NONE.double(), torch.ones(4).double(), NONE, NONE, 0.1, 1e-5),
    ):
        for _ in range(3):
            with pytest.raises(RuntimeError, match="batchnorm"):
                ops.forward(*arguments)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_compiled_layers(backend, order):
    torch.compiler.reset()
    theirs, ours = pair(nn.BatchNorm2d, 6)
    compiled = torch.compile(ours, fullgraph=True, backend=backend)
    for training in (True, True, False):
        theirs.train(training), ours.train(training)
        x = torch.randn(4, 6, 5, 3).to(memory_format=order)
        xs = [x.clone().requires_grad_() for _ in range(2)]
        ys = theirs(xs[0]), compiled(xs[1])
        close(ys[1], ys[0], x.dtype)
        assert ys[1].stride() == ys[0].stride()
        dy = torch.randn_like(x)
        ys[0].backward(dy), ys[1].backward(dy)
        close(xs[1].grad, xs[0].grad, x.dtype)
        for a, b in zip(ours.parameters(), theirs.parameters()):
            close(a.grad, b.grad, x.dtype, 10)
        for a, b in zip(ours.buffers(), theirs.buffers()):
            close(a.double(), b.double(), torch.float32)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_compiled_layers_have_the_operators(order):
    torch.compiler.reset()
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph

    from torch._dynamo.backends.common import aot_autograd

    _, ours = pair(nn.BatchNorm2d, 6)
    x = torch.randn(4, 6, 5, 3).to(memory_format=order)
    y = torch.compile(ours, fullgraph=True, backend=aot_autograd(fw_compiler=keep))(
        x.clone().requires_grad_()
    )
    y.backward(x)
    text = "".join(str(graph.graph) for graph in graphs)
    assert (
        "batchnorm.forward" in text
        and "batchnorm.backward" in text
        and "native_batch_norm" not in text
    )
    # A copy into another order of memory would cost several times what the layer does.
    assert "clone" not in text and "contiguous" not in text, text


def test_compiled_bits_are_those_of_eager_calls():
    torch.compiler.reset()
    _, ours = pair(nn.BatchNorm2d, 6)
    other = copy.deepcopy(ours)
    x = torch.randn(4, 6, 5, 3)
    assert torch.equal(torch.compile(other, fullgraph=True, backend="aot_eager")(x), ours(x))
    assert torch.equal(other.running_var, ours.running_var)


@pytest.mark.parametrize(
    "change", [{"affine": False}, {"track_running_stats": False}, {"eps": 1e-3, "momentum": 0.5}]
)
def test_compiled_options(change):
    for rank, cls in CLASSES.items():
        torch.compiler.reset()
        theirs, ours = pair(cls, 6, **change)
        x = torch.randn(4, 6, *[3] * rank)[(...,) if rank > 1 else (..., 0)]
        close(torch.compile(ours, fullgraph=True, backend="aot_eager")(x), theirs(x), x.dtype)
        with pytest.raises(Exception):  # noqa: B017 - how it is wrapped depends on the version
            torch.compile(ours, fullgraph=True, backend="eager")(x[0, 0])


def test_compiled_network():
    torch.compiler.reset()
    torch.manual_seed(0)
    theirs = MobileNet()
    ours = batchnorm.torch.convert(copy.deepcopy(theirs))
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager", dynamic=True)
    for batch in (4, 6):
        x = torch.randn(batch, 3, 16, 16)
        expected, found = theirs(x), compiled(x)
        close(found, expected, x.dtype)
        expected.square().mean().backward(), found.square().mean().backward()
        for a, b in zip(ours.parameters(), theirs.parameters()):
            close(a.grad, b.grad, x.dtype, 10)


def test_export():
    theirs, ours = pair(nn.BatchNorm2d, 6)
    x = torch.randn(4, 6, 5, 3)
    for strict in (False, True):
        program = torch.export.export(copy.deepcopy(ours).eval(), (x,), strict=strict)
        assert "torch.ops.batchnorm" not in str(program.graph)
        close(program.module()(x), copy.deepcopy(theirs).eval()(x), x.dtype)


def test_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    theirs, ours = pair(nn.BatchNorm2d, 6)
    ours.eval(), theirs.eval()
    x = torch.randn(4, 6, 5, 3)
    for dynamo in (False, True):
        path = str(tmp_path / f"model{dynamo}.onnx")
        torch.onnx.export(nn.Sequential(ours), (x,), path, dynamo=dynamo)
        assert "BatchNormalization" in {node.op_type for node in onnx.load(path).graph.node}
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        close(torch.from_numpy(found), theirs(x), x.dtype)
