# SPDX-License-Identifier: MIT
"""The layers: values, modes, state, copies."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from conftest import Reference, assert_near, parameters_of

import batchnorm

SHAPES = {1: (6, 3, 10), 2: (4, 5, 6, 7), 3: (2, 3, 4, 5, 6)}


def layer_of(dims, channels, **options):
    return getattr(batchnorm, f"BatchNorm{dims}d")(channels, **options)


@pytest.mark.parametrize("dims", SHAPES)
def test_values(dims, dtype, rng):
    x = rng.normal(3, 2, SHAPES[dims]).astype(dtype)
    dy = rng.normal(0, 1, SHAPES[dims]).astype(dtype)
    layer = layer_of(dims, x.shape[1], dtype=parameters_of(dtype))
    layer.weight[:] = rng.normal(1, 0.5, x.shape[1])
    layer.bias = rng.normal(0, 1, x.shape[1])
    reference = Reference(x, layer.weight, layer.bias)
    y = layer(x)
    assert y.dtype == dtype and y.shape == x.shape
    assert_near(y, reference.y)
    dx = layer.backward(dy)
    assert dx.dtype == dtype and dx.shape == x.shape
    assert_near(dx, reference.backward(dy), factor=2)
    assert_near(layer.weight.grad, reference.weight_grad, factor=10)
    assert_near(layer.bias.grad, reference.bias_grad, factor=10)
    assert_near(layer.running_mean, reference.mean / 10)
    unbiased = reference.var * reference.count / (reference.count - 1)
    assert_near(layer.running_var, 0.9 + unbiased / 10)
    assert layer.num_batches_tracked == 1


def test_gradients_are_overwritten_or_added(rng):
    x = rng.random((5, 2), np.float32)
    layer = batchnorm.BatchNorm1d(2)
    layer(x)
    layer.backward(x)
    once = layer.bias.grad.copy()
    layer.backward(x)
    assert (layer.bias.grad == once).all()
    layer.backward(x, accumulate=True)
    assert (layer.bias.grad == 2 * once).all()
    layer.zero_grad()
    assert not layer.bias.grad.any() and not layer.weight.grad.any()


def test_evaluation_uses_the_running_statistics(rng):
    x = rng.normal(2, 3, (8, 4, 5)).astype(np.float32)
    layer = batchnorm.BatchNorm1d(4)
    layer(x)
    assert layer.eval() is layer and layer.training is False
    mean, var = layer.running_mean.reshape(1, -1, 1), layer.running_var.reshape(1, -1, 1)
    assert_near(
        layer(x), (x.astype(np.longdouble) - mean) / np.sqrt(var.astype(np.longdouble) + 1e-5)
    )
    dx = layer.backward(np.ones_like(x))
    assert_near(dx, np.broadcast_to(1 / np.sqrt(var.astype(np.longdouble) + 1e-5), x.shape))
    assert layer.num_batches_tracked == 1
    layer.training = True
    layer(x)
    assert layer.num_batches_tracked == 2
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        layer.train(1)


def test_momentum_none_is_the_plain_average(rng):
    layer = batchnorm.BatchNorm1d(3, momentum=None)
    batches = [rng.normal(i, 1, (50, 3)).astype(np.float32) for i in range(4)]
    for batch in batches:
        layer(batch)
    assert_near(
        layer.running_mean,
        np.mean([batch.mean(axis=0, dtype=np.longdouble) for batch in batches], axis=0),
    )
    layer.momentum = 1
    layer(batches[0])
    assert_near(layer.running_mean, batches[0].mean(axis=0, dtype=np.longdouble))


def test_in_place(rng):
    x = rng.random((4, 3, 5), np.float32)
    layer, other = batchnorm.BatchNorm1d(3), batchnorm.BatchNorm1d(3)
    y, mine = other(x), x.copy()
    assert layer(mine, out=mine) is mine and (mine == y).all()
    dy = rng.random(x.shape, np.float32)
    wanted, dx = other.backward(dy), dy.copy()
    assert layer.backward(dx, out=dx) is dx
    assert_near(dx, wanted.astype(np.longdouble), factor=10)  # xhat is taken from y, and x is gone


def test_what_there_is_follows_the_options():
    layer = batchnorm.BatchNorm2d(3, affine=False, track_running_stats=False)
    assert (
        layer.weight
        is layer.bias
        is layer.running_mean
        is layer.running_var
        is layer.num_batches_tracked
        is None
    )
    assert layer.state_dict() == {} and list(layer.parameters()) == []
    layer = batchnorm.BatchNorm2d(3, bias=False)
    assert list(layer.state_dict()) == [
        "weight",
        "running_mean",
        "running_var",
        "num_batches_tracked",
    ]
    assert repr(layer) == (
        "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=False, track_running_stats=True)"
    )
    layer.weight = None
    assert layer.weight is None and "weight" not in layer.state_dict()
    with pytest.raises(AttributeError):
        layer.weight = np.ones(3)


def test_arrays_share_the_memory_of_the_layer(rng):
    layer = batchnorm.BatchNorm1d(2)
    x = rng.random((4, 2), np.float32)
    mean = layer.running_mean
    layer(x)
    assert mean is layer.running_mean and mean.any()
    layer.weight[:] = 0
    layer.bias = [1, 2]
    assert (layer(x) == [1, 2]).all()
    layer.weight -= 1  # as in PyTorch's optimizers
    assert (layer.weight == -1).all() and isinstance(layer.weight, batchnorm.Parameter)
    assert type(layer.weight + 1) is np.ndarray and np.isscalar(layer.weight.mean())
    with pytest.raises(ValueError, match=r"weight has the shape \(2,\), not \(3,\)"):
        layer.weight = np.ones(3)
    del layer
    gc.collect()
    assert np.isfinite(mean).all()


def test_frozen_parameters_get_no_gradient(rng):
    layer = batchnorm.BatchNorm1d(2)
    assert layer.weight.requires_grad and layer.bias.requires_grad
    layer.weight.requires_grad = False
    x = rng.random((4, 2), np.float32)
    layer(x)
    layer.backward(x)
    assert not layer.weight.grad.any() and layer.bias.grad.any()
    assert not copy.deepcopy(layer).weight.requires_grad
    with pytest.raises(AttributeError):
        layer.weight[:1].requires_grad = True


def test_settings():
    layer = batchnorm.BatchNorm1d(2)
    layer.eps = 0.5
    layer.momentum = None
    layer.track_running_stats = False
    assert repr(layer) == (
        "BatchNorm1d(2, eps=0.5, momentum=None, affine=True, bias=True, track_running_stats=False)"
    )
    layer(np.zeros((3, 2), np.float32))
    assert layer.num_batches_tracked == 0
    with pytest.raises(TypeError):
        layer.eps = "small"
    assert layer.eps == 0.5
    assert vars(layer)["running_mean"] is layer.running_mean and vars(layer)["training"] is True


class Named(batchnorm.BatchNorm1d):
    """A subclass has its own forward, name and attributes."""

    def forward(self, x, out=None):
        return super().forward(x, out) + 1


@pytest.mark.parametrize("copies", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies(copies, rng):
    layer = Named(3, eps=1e-3, momentum=None, dtype=np.float64)
    x = rng.random((5, 3))
    layer(x)
    layer.backward(x)
    layer.bias = None
    layer.note = ["kept"]
    layer.eval()
    other = copies(layer)
    assert (
        repr(other) == repr(layer) == "Named(3, eps=0.001, momentum=None, affine=True, bias=False, "
        "track_running_stats=True)"
    )
    assert other.note == ["kept"] and other.bias is None and not other.training
    assert (other.weight.grad == layer.weight.grad).all() and other.weight.dtype == np.float64
    assert (other(x) == layer(x)).all()
    other.weight[:] = 5
    other.running_mean[:] = 5
    assert not (layer.weight == 5).any() and not (layer.running_mean == 5).any()
    layer.reset_parameters()
    assert (
        (layer.weight == 1).all()
        and (layer.running_var == 1).all()
        and layer.num_batches_tracked == 0
    )


def test_copies_of_what_has_nothing():
    layer = batchnorm.BatchNorm2d(3, affine=False, track_running_stats=False, dtype=np.float64)
    other = copy.deepcopy(layer)
    assert other.weight is None and other.running_mean is None
    assert repr(other) == repr(layer)
    x = np.random.default_rng(0).random((2, 3, 4, 4))
    assert (other(x) == layer(x)).all()


def test_states(rng):
    layer, other = batchnorm.BatchNorm1d(3), batchnorm.BatchNorm1d(3)
    layer(rng.random((5, 3), np.float32))
    assert str(other.load_state_dict(layer.state_dict())) == "<All keys matched successfully>"
    assert all(
        (a == b).all() for a, b in zip(layer.state_dict().values(), other.state_dict().values())
    )
    doubles = {
        name: np.asarray(value, np.float64)[..., None][..., 0]
        for name, value in layer.state_dict().items()
    }
    doubles["num_batches_tracked"] = 7
    other.load_state_dict(doubles)
    assert other.num_batches_tracked == 7 and (other.running_mean == layer.running_mean).all()
    before = {name: value.copy() for name, value in other.state_dict().items()}
    for state in (
        {"weight": np.zeros(2)},
        {**doubles, "odd": 1},
        {**doubles, "bias": np.zeros(4)},
        {**doubles, "bias": "x"},
    ):
        with pytest.raises((RuntimeError, TypeError)):
            other.load_state_dict(state)
        assert all((value == before[name]).all() for name, value in other.state_dict().items())
    with pytest.raises(RuntimeError) as error:
        other.load_state_dict({"weight": np.ones(2), "odd": 1})
    assert str(error.value) == (
        "Error(s) in loading state_dict for BatchNorm1d:\n\t"
        'Missing key(s) in state_dict: "bias", "running_mean", "running_var". \n\t'
        'Unexpected key(s) in state_dict: "odd". \n\t'
        "size mismatch for weight: copying a param with shape torch.Size([2]) "
        "from checkpoint, the shape in current model is torch.Size([3])."
    )
    keys = other.load_state_dict({"weight": np.full(3, 2.0), "odd": 1}, strict=False)
    assert keys.missing_keys == [
        "bias",
        "running_mean",
        "running_var",
    ] and keys.unexpected_keys == ["odd"]
    assert (other.weight == 2).all()


def test_the_input_is_kept_for_backward_and_let_go(rng):
    class Array(np.ndarray):
        """An array that can be watched."""

    layer = batchnorm.BatchNorm1d(2)
    x = rng.random((4, 2), np.float32).view(Array)
    watched = weakref.ref(x)
    layer(x)
    del x
    assert watched() is not None
    layer.forget()
    assert watched() is None
    with pytest.raises(RuntimeError, match="backward was called before a forward"):
        layer.backward(np.zeros((4, 2), np.float32))


def test_a_cycle_through_the_input_is_collected(rng):
    class Array(np.ndarray):
        """An array that may refer to its layer."""

    layer = batchnorm.BatchNorm1d(2)
    x = rng.random((4, 2), np.float32).view(Array)
    x.layer = layer
    layer(x)
    watched = weakref.ref(x)
    del x, layer
    gc.collect()
    assert watched() is None


def test_empty_inputs_only_count():
    layer = batchnorm.BatchNorm2d(3)
    y = layer(np.zeros((0, 3, 4, 4), np.float32))
    assert (
        y.shape == (0, 3, 4, 4) and layer.num_batches_tracked == 1 and not layer.running_mean.any()
    )
    assert layer.backward(y).shape == y.shape
