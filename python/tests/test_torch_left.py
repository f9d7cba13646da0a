# SPDX-License-Identifier: MIT
"""What PyTorch's layers do and converted ones did not: scripts, odd gradients, odd tensors."""

import copy

import pytest
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
