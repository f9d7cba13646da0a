# SPDX-License-Identifier: MIT
"""What PyTorch's layers do and converted ones did not: scripts, odd gradients, odd tensors."""

import copy

import pytest
import torch.nn.functional as F
from torch import nn
from torch._subclasses import FakeTensorMode
from torch_networks import Residual, close, torch

import batchnorm.torch

ACTS = ("identity", "relu", "leaky_relu", "relu6", "hardswish", "sigmoid", "silu")


def fused(act="relu"):
    torch.manual_seed(0)
    layer = batchnorm.torch.BatchNormAct2d(3, act=act, slope=0.2)
    with torch.no_grad():
        layer.weight.uniform_(1, 4), layer.bias.uniform_(-2, 2)
    return layer


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("momentum,track", [(0.1, True), (None, True), (0.1, False)])
def test_a_script_of_a_fused_layer(act, training, momentum, track):
    layer = fused(act).train(training)
    layer.momentum, layer.track_running_stats = momentum, track
    script = torch.jit.script(copy.deepcopy(layer))
    assert list(script.state_dict()) == list(layer.state_dict())
    x, residual = torch.randn(4, 3, 5, 5), torch.randn(4, 3, 5, 5)
    close(script(x), layer(x), x.dtype)
    close(script(x, residual), layer(x, residual), x.dtype)
    for theirs, ours in zip(script.buffers(), layer.buffers()):
        close(theirs.double(), ours.double(), x.dtype)


def test_a_script_of_a_fused_model():
    torch.manual_seed(0)
    model = batchnorm.torch.fuse(nn.Sequential(Residual(3, 8, 2), nn.BatchNorm2d(8), nn.SiLU()))
    script = torch.jit.script(copy.deepcopy(model))
    x = torch.randn(4, 3, 8, 8)
    for training in (True, False):
        close(script.train(training)(x), model.train(training)(x), x.dtype)


def odd_tensors():
    """Tensors that NumPy's layers cannot read as they are, and what they refuse them with."""
    x = torch.randn(4, 3)
    pairs = torch.randn(4, 3, dtype=torch.complex64)
    yield torch._neg_view(x), BufferError, "negative bit"
    yield pairs.conj().imag, BufferError, "negative bit"
    yield pairs.conj(), BufferError, "conjugate bit"
    yield pairs, TypeError, "complex64"
    yield x.clone().requires_grad_(), BufferError, "require gradient"
    yield nn.Parameter(x), BufferError, "require gradient"
    yield x.to_sparse(), BufferError, "torch.strided"
    yield x.to_sparse_csr(), BufferError, "torch.strided"
    yield torch._efficientzerotensor(4, 3), BufferError, "no memory"
    yield x.to("meta"), (ValueError, BufferError), "meta"
    yield x.to(torch.int32), TypeError, "int32"
    yield x.to(torch.float8_e4m3fn), TypeError, "float8"
    with FakeTensorMode():
        fake = torch.randn(4, 3)
    yield fake, (BufferError, RuntimeError), ""


def test_arrays_that_are_no_plain_tensors_are_refused():
    layer = batchnorm.BatchNorm1d(3)
    for tensor, error, text in odd_tensors():
        with pytest.raises(error, match=text):
            layer(tensor)
    assert layer.num_batches_tracked == 0
    weight = torch._neg_view(torch.ones(3))
    with pytest.raises(BufferError, match="negative bit"):
        layer.load_state_dict({**layer.state_dict(), "weight": weight})
    with pytest.raises((BufferError, RuntimeError), match="negative bit"):
        layer.weight = weight


LAYERS = {
    "plain": (lambda: batchnorm.torch.BatchNorm2d(3), lambda v: v),
    "relu": (lambda: batchnorm.torch.BatchNormAct2d(3), torch.relu),
    "silu": (lambda: batchnorm.torch.BatchNormAct2d(3, act="silu"), nn.functional.silu),
}
ODD = {
    "zeros": lambda: torch._efficientzerotensor(2, 3, 4, 4),
    "negative": lambda: torch._neg_view(torch.randn(2, 3, 4, 4)),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_odd_tensors(kind, odd, training, create_graph):
    make, act = LAYERS[kind]
    ours = make().train(training)
    theirs = nn.BatchNorm2d(3).train(training)
    for place in ("dy", "x", "weight"):
        torch.manual_seed(0)
        weight = ODD[odd]()[0, :, 0, 0] if place == "weight" else torch.randn(3)
        dy, x = (ODD[odd]() if place == name else torch.randn(2, 3, 4, 4) for name in ("dy", "x"))
        x.requires_grad_(), weight.requires_grad_()
        bias = torch.randn(3, requires_grad=True)
        numbers = {"weight": weight, "bias": bias}
        ys = [torch.func.functional_call(layer, numbers, x) for layer in (theirs, ours)]
        ys[0] = act(ys[0])
        wanted, found = (
            torch.autograd.grad(y, (x, weight, bias), dy, create_graph=create_graph) for y in ys
        )
        close(ys[1], ys[0], x.dtype)
        for a, b in zip(found, wanted):
            close(a, b, x.dtype)
        if create_graph and odd == "negative" and training:
            close(
                *(torch.autograd.grad(g[0].square().sum(), x)[0] for g in (found, wanted)), x.dtype
            )


def test_a_second_derivative_of_zeros():
    layer = batchnorm.torch.BatchNorm2d(3)
    x, dy = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 3, 4, 4, requires_grad=True)
    dx = torch.autograd.grad(layer(x), x, dy, create_graph=True)[0]
    for gradient in torch.autograd.grad(dx, (x, dy), torch._efficientzerotensor(2, 3, 4, 4)):
        assert gradient.eq(0).all()


def inference_layers(layer, names):
    """Layers that have these tensors from torch.inference_mode(), and others that are usual."""
    with torch.inference_mode():
        for name in names:
            if name in layer._parameters:
                setattr(layer, name, nn.Parameter(torch.ones(3)))
            else:
                setattr(layer, name, torch.ones_like(getattr(layer, name)))
    return layer


def outcome(layer, x):
    try:
        return "done", layer(x)
    except RuntimeError as error:
        return str(error).split(".")[0], None


NUMBERS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@pytest.mark.parametrize("names", [(), *((name,) for name in NUMBERS), NUMBERS])
@pytest.mark.parametrize("input", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("act", [None, "silu"])
def test_tensors_of_inference_mode(names, input, training, mode, act):
    made = []
    for ours in (False, True):
        layer = inference_layers(nn.BatchNorm2d(3), names).train(training)
        if act and ours:
            layer = batchnorm.torch.BatchNormAct2d.of(layer, act)
        elif ours:
            batchnorm.torch.convert(layer)
        torch.manual_seed(0)
        with torch.inference_mode(input):
            x = torch.randn(4, 3, 2, 2)
        with mode():
            text, y = outcome(layer, x)
            y = nn.functional.silu(y) if act and not ours and y is not None else y
        made.append((text, y, list(layer.buffers())))
    assert made[0][0] == made[1][0]
    close(made[1][1], made[0][1], torch.float32)
    assert made[0][1] is None or made[0][1].is_inference() == made[1][1].is_inference()
    for a, b in zip(made[0][2], made[1][2]):
        close(b.double(), a.double(), torch.float32)


class Reversed(nn.Module):
    """Uses its parts in another order than they were registered in."""

    def __init__(self):
        super().__init__()
        self.last = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU())
        self.register_buffer("hidden", torch.ones(1), persistent=False)
        self.scale, self.shift = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.ones(1))
        self.first = nn.Sequential(nn.BatchNorm2d(3), nn.SiLU())
        self.middle = nn.ModuleDict({"b": nn.Conv2d(3, 3, 1), "a": nn.BatchNorm2d(3)})

    def forward(self, x):
        """From the end to the beginning."""
        x = F.relu(self.middle["a"](self.first(x) + self.shift))
        return self.last((self.middle["b"](x) * self.scale + self.seen) * self.hidden)


def test_fusing_keeps_the_order_of_parameters():
    model = Reversed()
    fused = batchnorm.torch.fuse(model)
    assert list(fused.state_dict()) == list(model.state_dict())
    assert [name for name, _ in fused.named_buffers()] == [
        name for name, _ in model.named_buffers()
    ]
    assert all(a is b for a, b in zip(fused.parameters(), model.parameters(), strict=True))
    again = copy.deepcopy(fused)
    assert list(again.state_dict()) == list(model.state_dict())
    x = torch.randn(4, 3, 5, 5)
    close(fused.eval()(x), model.eval()(x), x.dtype)
