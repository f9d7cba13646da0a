# SPDX-License-Identifier: MIT
"""Batch norm, residual and activation in one: values, derivatives, finding them in a network."""

import copy
import pickle

import pytest
import torch.nn.functional as F
from torch import nn
from torch_networks import MobileNet, ResNet18, close, is_ours, torch

import batchnorm.torch

ACTS = {
    "identity": lambda v: v,
    "relu": F.relu,
    "leaky_relu": lambda v: F.leaky_relu(v, 0.1),
    "relu6": F.relu6,
    "hardswish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
}


def pair(act, dtype=torch.float32):
    torch.manual_seed(0)
    theirs = nn.BatchNorm2d(6, dtype=dtype)
    with torch.no_grad():
        (
            theirs.weight.uniform_(1, 4),
            theirs.bias.uniform_(-2, 2),
            theirs.running_var.uniform_(0.5, 2),
        )
    return theirs, batchnorm.torch.BatchNormAct2d.of(copy.deepcopy(theirs), act, 0.1)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_values_and_gradients(act, residual, training):
    for dtype, order in (
        (torch.float64, torch.contiguous_format),
        (torch.float32, torch.channels_last),
        (torch.bfloat16, torch.contiguous_format),
    ):
        theirs, ours = pair(act, torch.float64 if dtype is torch.float64 else torch.float32)
        theirs.train(training), ours.train(training)
        x, z, dy = (
            torch.randn(4, 6, 5, 3, dtype=torch.float64).to(dtype).to(memory_format=order)
            for _ in range(3)
        )
        xs, zs = ([t.clone().requires_grad_() for _ in range(2)] for t in (x, z))
        v = theirs(xs[0])
        expected = ACTS[act](v + zs[0] if residual else v)
        found = ours(xs[1], zs[1]) if residual else ours(xs[1])
        assert is_ours(found)
        close(found, expected, dtype)
        if dtype is torch.bfloat16:
            continue  # rounded once here, three times there: near a corner a gate may differ
        expected.backward(dy), found.backward(dy)
        close(xs[1].grad, xs[0].grad, dtype)
        close(zs[1].grad, zs[0].grad, dtype)
        for a, b in zip(ours.parameters(), theirs.parameters()):
            close(a.grad, b.grad, dtype, 10)
        for a, b in zip(ours.buffers(), theirs.buffers()):
            close(a.double(), b.double(), torch.float32)


@pytest.mark.parametrize("act", ["identity", "leaky_relu", "sigmoid", "silu"])
def test_finite_differences(act):
    _, ours = pair(act, torch.float64)
    ours.track_running_stats = False
    x, z = (torch.randn(2, 6, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def call(x, z, weight, bias):
        return torch.func.functional_call(ours, {"weight": weight, "bias": bias}, (x, z))

    assert torch.autograd.gradcheck(call, (x, z, ours.weight, ours.bias), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, (x, z, ours.weight, ours.bias))


def test_residuals_that_do_not_fit():
    theirs, ours = pair("relu")
    x = torch.randn(4, 6, 5, 3)
    for z in (
        torch.randn(4, 6, 1, 1),
        torch.randn(4, 6, 10, 6)[:, :, ::2, ::2],
        torch.randn(4, 6, 3, 5).transpose(2, 3),
    ):
        close(ours(x, z), F.relu(theirs(x) + z), x.dtype)
    with pytest.raises(RuntimeError):
        ours(x, torch.randn(4, 5, 5, 3))
    with pytest.raises(ValueError, match="expected 4D input"):
        ours(x[0])
    with pytest.raises(ValueError, match="act must be one of"):
        batchnorm.torch.BatchNormAct2d(3, act="gelu")


def test_module():
    _, ours = pair("leaky_relu")
    assert repr(ours).endswith("act=leaky_relu, slope=0.1)")
    assert list(ours.state_dict()) == list(nn.BatchNorm2d(6).state_dict())
    x = torch.randn(4, 6, 5, 3)
    for again in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert torch.equal(again.eval()(x), ours.eval()(x))
    torch.compiler.reset()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    close(compiled(x, x), ours(x, x), x.dtype)


@pytest.mark.parametrize("make,fused,left", [(ResNet18, 17, 3), (MobileNet, 7, 3)])
@pytest.mark.parametrize("convert", [False, True])
def test_fusing_networks(make, fused, left, convert):
    torch.manual_seed(0)
    model = make().double()
    before = repr(model)
    other = copy.deepcopy(model)
    whole = batchnorm.torch.fuse(batchnorm.torch.convert(other) if convert else other)
    kinds = [type(module) for module in whole.modules() if isinstance(module, nn.BatchNorm2d)]
    assert kinds.count(batchnorm.torch.BatchNormAct2d) == fused and len(kinds) == fused + left
    assert not any(isinstance(module, (nn.ReLU6, nn.ReLU)) for module in whole.modules())
    assert repr(other) == before
    assert list(whole.state_dict()) == list(model.state_dict())
    for training in (True, False):
        model.train(training), whole.train(training)
        x = torch.randn(8, 3, 16, 16, dtype=torch.float64)
        ys = model(x), whole(x)
        close(ys[1], ys[0], x.dtype)
        ys[0].square().mean().backward(), ys[1].square().mean().backward()
        expected = dict(model.named_parameters())
        for name, parameter in whole.named_parameters():
            close(parameter.grad, expected[name].grad, x.dtype, 10)
            assert parameter is dict(other.named_parameters())[name]
        for a, b in zip(whole.buffers(), model.buffers()):
            close(a.double(), b.double(), torch.float64)


def test_what_is_not_fused():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used_twice, self.read_twice, self.hooked, self.shared = (
                nn.BatchNorm2d(3) for _ in range(4)
            )
            self.hooked.register_forward_hook(lambda module, args, y: None)

        def forward(self, x):
            y = F.relu(self.used_twice(self.used_twice(x)))
            z = self.read_twice(y)
            y = F.relu(z) + z
            y = F.relu(self.hooked(y))
            z = self.shared(y)
            return F.relu(z + z) + F.relu(torch.add(self.shared(y), y, alpha=2))

    torch.manual_seed(0)
    net = Net()
    fused = batchnorm.torch.fuse(copy.deepcopy(net))
    assert not any(isinstance(module, batchnorm.torch.BatchNormAct2d) for module in fused.modules())
    x = torch.randn(4, 3, 5, 5)
    assert torch.equal(fused(x), net(x))
