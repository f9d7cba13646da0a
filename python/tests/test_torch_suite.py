# SPDX-License-Identifier: MIT
"""PyTorch's own samples for these modules and for batch_norm(), on converted modules."""

import pytest
from torch import nn
from torch_networks import close, torch

import batchnorm.torch

modules = pytest.importorskip("torch.testing._internal.common_modules")
methods = pytest.importorskip("torch.testing._internal.common_methods_invocations")

INFOS = [
    info
    for info in modules.module_db
    if info.module_cls in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
]
FUNCTIONS = [
    info
    for info in methods.op_db
    if info.name == "nn.functional.batch_norm" and not info.variant_test_name
]


def samples(info, dtype, training):
    """Pairs of a module and its converted copy, with the arguments of a call."""
    for sample in info.module_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=True, training=training
    ):
        made = []
        for convert in (False, True):
            torch.manual_seed(0)
            args, kwargs = sample.constructor_input.args, dict(sample.constructor_input.kwargs)
            module = info.module_cls(*args, **kwargs).to(dtype)
            made.append(batchnorm.torch.convert(module) if convert else module)
        yield made, sample.forward_input.args


def test_there_are_samples():
    assert len(INFOS) == 3 and len(FUNCTIONS) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.module_cls.__name__)
def test_module_samples(info, training, dtype):
    count = 0
    for (theirs, ours), args in samples(info, dtype, training):
        theirs.train(training), ours.train(training)
        found = []
        for module in (theirs, ours):
            x = args[0].detach().clone().requires_grad_()
            y = module(x)
            y.backward(torch.linspace(-1, 1, y.numel(), dtype=dtype).view(y.shape))
            found.append((y, x.grad, *(p.grad for p in module.parameters())))
        for theirs_result, ours_result in zip(*found):
            close(ours_result, theirs_result, dtype, 20)  # PyTorch adds halves to halves
        count += 1
    assert count


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.module_cls.__name__)
def test_module_gradients(info, training):
    for (_, ours), args in samples(info, torch.float64, training):
        ours.train(training)
        x = args[0].detach().clone().requires_grad_()
        if x.numel() > 300 or not x.numel():
            continue
        state = {name: tensor.clone() for name, tensor in ours.named_buffers()}

        def call(z, module=ours, state=state):
            return torch.func.functional_call(
                module, {name: tensor.clone() for name, tensor in state.items()}, (z,)
            )

        assert torch.autograd.gradcheck(call, (x,), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(call, (x,))


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.module_cls.__name__)
def test_module_error_inputs(info):
    """The errors that PyTorch lists, with its sentences."""
    count = 0
    for error in info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=True
    ):
        made, call = (
            error.module_error_input.constructor_input,
            error.module_error_input.forward_input,
        )
        theirs, ours = (info.module_cls(*made.args, **made.kwargs) for _ in range(2))
        batchnorm.torch.convert(ours)
        with pytest.raises(error.error_type, match=error.error_regex) as expected:
            theirs(*call.args, **call.kwargs)
        with pytest.raises(error.error_type) as found:
            ours(*call.args, **call.kwargs)
        assert str(found.value) == str(expected.value)
        count += 1
    assert count


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_function_samples(dtype):
    """OpInfo's samples, put into a module that has their numbers."""
    count = 0
    for sample in FUNCTIONS[0].sample_inputs("cpu", dtype, requires_grad=True):
        x, kwargs = sample.input, dict(sample.kwargs)
        names = ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
        given = dict(zip(names, sample.args)) | kwargs
        if x.dim() < 2:
            continue
        expected = torch.nn.functional.batch_norm(
            x,
            *[None if given.get(n) is None else given[n].clone() for n in names[:2]],
            **{n: given[n] for n in given if n not in names[:2]},
        )
        module = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[
            x.dim()
        ](x.shape[1], dtype=dtype)
        for name in names[:2]:
            module._buffers[name] = (
                None if given.get(name) is None else given[name].detach().clone()
            )
        for name in names[2:4]:
            module._parameters[name] = (
                None if given.get(name) is None else nn.Parameter(given[name].detach().clone())
            )
        module.training = given.get("training", False)
        module.momentum, module.eps = given.get("momentum", 0.1), given.get("eps", 1e-5)
        found = batchnorm.torch.convert(module)(x)
        close(found, expected, dtype)
        if x.numel():
            gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (found, expected)]
            close(*gradients, dtype, 10)
        count += 1
    assert count > 3
