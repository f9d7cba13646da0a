# SPDX-License-Identifier: MIT
"""A converted layer is a module like the one it was: names, copies, hooks, tracers, compilers."""

import copy
import io
import pickle

import pytest
from torch import nn
from torch_networks import CLASSES, ResNet18, close, is_ours, pair, torch

import batchnorm.torch


def test_conversion_and_back():
    model = ResNet18()
    names = [(name, id(module), vars(module).keys()) for name, module in model.named_modules()]
    before = {name: id(tensor) for name, tensor in model.state_dict(keep_vars=True).items()}
    assert batchnorm.torch.convert(model) is model
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 20 and all(type(norm) is batchnorm.torch.BatchNorm2d for norm in norms)
    assert [
        (name, id(module), vars(module).keys()) for name, module in model.named_modules()
    ] == names
    assert {name: id(tensor) for name, tensor in model.state_dict(keep_vars=True).items()} == before
    text = repr(model)
    assert batchnorm.torch.restore(model) is model
    assert all(type(norm) is nn.BatchNorm2d for norm in norms)
    assert repr(model) == text


def test_only_exact_classes_are_converted():
    class Own(nn.BatchNorm2d):
        pass

    model = nn.Sequential(Own(3), nn.SyncBatchNorm(3), nn.InstanceNorm2d(3), nn.BatchNorm1d(3))
    kept = [type(module) for module in model][:3]
    batchnorm.torch.convert(model)
    assert [type(module) for module in model] == [*kept, batchnorm.torch.BatchNorm1d]


def test_only_forward_differs():
    for cls in CLASSES.values():
        ours = type(batchnorm.torch.convert(cls(3)))
        own = {
            name for name in vars(ours) if name not in ("__module__", "__doc__", "__parameters__")
        }
        assert own == {"forward", "__prepare_scriptable__"} and ours.__name__ == cls.__name__


def test_context_manager():
    model = nn.Sequential(nn.BatchNorm2d(3), batchnorm.torch.BatchNorm2d(3))
    with pytest.raises(ZeroDivisionError), batchnorm.torch.converted(model) as same:
        assert same is model and type(model[0]) is batchnorm.torch.BatchNorm2d
        raise ZeroDivisionError
    assert type(model[0]) is nn.BatchNorm2d and type(model[1]) is batchnorm.torch.BatchNorm2d


def test_states_both_ways():
    theirs, ours = pair(nn.BatchNorm2d, 6)
    _, other = pair(nn.BatchNorm2d, 6, seed=1)
    plain, _ = pair(nn.BatchNorm2d, 6, seed=2)
    other.load_state_dict(theirs.state_dict())
    plain.load_state_dict(ours.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(4, 6, 3, 3)
    assert torch.equal(other(x), ours(x))
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    plain.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(plain.running_var, ours.running_var)


def test_copies_and_pickles():
    _, ours = pair(nn.BatchNorm2d, 6)
    x = torch.randn(4, 6, 3, 3)
    file = io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    for again in (
        copy.deepcopy(ours),
        pickle.loads(pickle.dumps(ours)),
        torch.load(file, weights_only=False),
    ):
        assert type(again) is batchnorm.torch.BatchNorm2d and again.weight is not ours.weight
        y = again(x)
        assert is_ours(y) and int(again.num_batches_tracked) == 1
    assert int(ours.num_batches_tracked) == 0


def test_hooks():
    _, ours = pair(nn.BatchNorm2d, 6)
    seen = []
    ours.register_forward_pre_hook(lambda module, args: seen.append("pre"))
    ours.register_forward_hook(lambda module, args, y: seen.append("forward"))
    ours.register_full_backward_pre_hook(lambda module, dy: seen.append("backward pre"))
    ours.register_full_backward_hook(lambda module, dx, dy: seen.append("backward"))
    ours.weight.register_hook(lambda gradient: seen.append("weight"))
    ours(torch.randn(4, 6, 3, 3, requires_grad=True)).sum().backward()
    assert sorted(seen) == ["backward", "backward pre", "forward", "pre", "weight"]


def test_freezing_and_weight_decay_find_the_layers():
    model = batchnorm.torch.convert(ResNet18())
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval().requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    model(torch.randn(2, 3, 16, 16)).sum().backward()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert model.bn.weight.grad is None and model.conv.weight.grad is not None


def test_lazy_layers():
    for rank, cls in ((1, nn.LazyBatchNorm1d), (2, nn.LazyBatchNorm2d), (3, nn.LazyBatchNorm3d)):
        model = batchnorm.torch.convert(nn.Sequential(cls()))
        x = torch.randn(4, 6, *[3] * rank)
        model(x)
        assert type(model[0]) is type(batchnorm.torch.convert(CLASSES[rank](6)))
        assert model[0].num_features == 6 and is_ours(model(x))
        back = batchnorm.torch.restore(batchnorm.torch.convert(nn.Sequential(cls())))
        back(x)
        assert type(back[0]) is CLASSES[rank]
        with batchnorm.torch.converted(nn.Sequential(cls())) as model:
            model(x)
        assert type(model[0]) is CLASSES[rank]


def test_autocast():
    theirs, ours = pair(nn.BatchNorm2d, 6)
    conv = nn.Conv2d(3, 6, 3)
    x = torch.randn(2, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, expected = ours(conv(x)), theirs(conv(x))
    assert found.dtype == torch.bfloat16 and is_ours(found)
    close(found, expected, torch.bfloat16)


def test_other_devices_and_tensors():
    theirs, ours = pair(nn.BatchNorm2d, 6)
    x = torch.randn(2, 6, 3, 3)
    meta = copy.deepcopy(ours).to("meta")
    assert meta(x.to("meta")).shape == x.shape

    class Loud(torch.Tensor):
        pass

    y = ours(x.as_subclass(Loud))
    assert type(y) is Loud
    close(y.as_subclass(torch.Tensor), theirs(x), x.dtype)
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert ours(mode.from_tensor(x)).shape == x.shape
    with torch.device("meta"):
        close(ours(x), theirs(x), x.dtype)
    with pytest.raises(RuntimeError):
        ours(x.to_sparse())


def test_modes_see_the_operators():
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    class Names(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.names = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    _, ours = pair(nn.BatchNorm2d, 6)
    with Names() as seen:
        ours(torch.randn(2, 6, 3, 3))
    assert any("batch_norm" in name for name in seen.names)
    with FlopCounterMode(display=False):
        ours(torch.randn(2, 6, 3, 3))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_script_and_trace():
    theirs, ours = pair(nn.BatchNorm2d, 6)
    model = nn.Sequential(ours, nn.ReLU()).eval()
    x = torch.randn(2, 6, 3, 3)
    expected = torch.relu(theirs.eval()(x))
    for made in (torch.jit.script(model), torch.jit.trace(model, x)):
        close(made(x), expected, x.dtype)


def test_fx_keeps_layers_whole():
    model = batchnorm.torch.convert(ResNet18())
    graph = torch.fx.symbolic_trace(model)
    assert sum(type(module) is batchnorm.torch.BatchNorm2d for module in graph.modules()) == 20
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(graph.eval()(x), model.eval()(x))


def test_fusion_after_restoring():
    model = batchnorm.torch.convert(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6))).eval()
    x = torch.randn(2, 3, 8, 8)
    expected = model(x)
    from torch.fx.experimental.optimization import fuse

    fused = fuse(batchnorm.torch.restore(model))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    close(fused(x), expected, x.dtype)


def test_functional_call_and_parametrization():
    from torch.nn.utils import parametrize

    theirs, ours = pair(nn.BatchNorm2d, 6)
    x = torch.randn(2, 6, 3, 3)
    values = {"weight": torch.randn(6)}
    close(
        torch.func.functional_call(ours, values, (x,)),
        torch.func.functional_call(theirs, values, (x,)),
        x.dtype,
    )

    class Double(nn.Module):
        def forward(self, weight):
            return 2 * weight

    for layer in (theirs, ours):
        parametrize.register_parametrization(layer, "weight", Double())
    close(ours(x), theirs(x), x.dtype)


def test_many_calls_leak_nothing():
    import resource

    _, ours = pair(nn.BatchNorm2d, 64)
    x = torch.randn(2, 64, 16, 16, requires_grad=True)

    def some():
        for _ in range(1500):
            ours(x).sum().backward()

    some()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    some()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096
