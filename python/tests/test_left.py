# SPDX-License-Identifier: MIT
"""What was read without its mask or its sign, and other odd arguments."""

import copy
import pickle

import numpy as np
import pytest

import batchnorm


@pytest.mark.parametrize("mask", [False, [[True, False, False]] + [[False] * 3] * 3])
def test_masked_arrays_are_refused(mask):
    layer, x = batchnorm.BatchNorm1d(3), np.ones((4, 3), np.float32)
    masked = np.ma.array(x, mask=mask)
    row = masked[0]
    layer(x)
    for call in (
        lambda: layer(masked),
        lambda: layer(x, out=masked),
        lambda: layer.backward(masked),
        lambda: layer.load_state_dict({**layer.state_dict(), "weight": row}),
        lambda: setattr(layer, "weight", row),
        lambda: batchnorm.batch_norm(masked, training=True),
        lambda: batchnorm.batch_norm(x, weight=row, training=True),
        lambda: batchnorm.statistics(masked),
    ):
        with pytest.raises(TypeError, match="masked array"):
            call()
    assert layer.num_batches_tracked == 1 and np.array_equal(layer.weight, np.ones(3))
    layer(masked.filled(0)), layer(masked.data)


class Tensor:
    """What is known of PyTorch's tensors, around an array."""

    def __init__(self, array, negative):
        self.array, self.negative = array, negative

    def is_neg(self):
        if isinstance(self.negative, Exception):
            raise self.negative
        return self.negative

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_a_sign_that_is_stored_elsewhere_is_heeded():
    layer, x = batchnorm.BatchNorm1d(3), np.random.default_rng(0).random((4, 3), np.float32)
    assert np.array_equal(layer(Tensor(x, False)), layer(x))
    with pytest.raises(BufferError, match="negative bit"):
        layer(Tensor(x, True))
    with pytest.raises(BufferError, match="negative bit"):
        layer(x, out=Tensor(x.copy(), True))
    with pytest.raises(KeyError, match="own"):
        layer(Tensor(x, KeyError("own")))


def test_what_is_fixed_cannot_be_assigned():
    layer = batchnorm.BatchNorm1d(3)
    for name, value in (("num_features", 5), ("affine", False)):
        with pytest.raises(AttributeError, match=name):
            setattr(layer, name, value)
    assert repr(copy.deepcopy(layer)) == repr(layer) == repr(batchnorm.BatchNorm1d(3))


CHANGES = [
    {},
    {"track_running_stats": False},
    {"track_running_stats": True},
    {"eps": 0.5},
    {"momentum": None},
    {"momentum": float("inf")},
    {"training": False},
    {"weight": None},
    {"bias": None, "running_mean": None, "running_var": None},
    {"num_batches_tracked": None, "momentum": None},
    {"weight": [1, 2, 3], "running_var": [3, 4, 5], "extra": "kept"},
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("made", [{}, {"affine": False}, {"track_running_stats": False}])
def test_copies_of_changed_layers(change, made):
    layer = batchnorm.BatchNorm1d(3, **made)
    x = np.random.default_rng(0).random((4, 3), np.float32)
    for name, value in change.items():
        if isinstance(value, list) and getattr(layer, name) is None:
            with pytest.raises(AttributeError):
                setattr(layer, name, value)
        else:
            setattr(layer, name, value)
    copies = (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)))
    wanted = layer(x)
    for other in copies:
        assert repr(other) == repr(layer)
        assert np.array_equal(other(x), wanted, equal_nan=True)
        state = other.state_dict()
        assert list(state) == list(layer.state_dict())
        for name, value in layer.state_dict().items():
            assert np.array_equal(state[name], value, equal_nan=True)
        for name in ("eps", "momentum", "training", "affine", "num_features"):
            assert getattr(other, name) == getattr(layer, name)
        assert getattr(other, "extra", None) == change.get("extra")


def test_one_running_statistic_of_two_is_refused():
    x, one = np.ones((4, 3), np.float32), np.zeros(3, np.float32)
    for statistics in ((one, None), (None, one)):
        with pytest.raises(ValueError, match="either both be None or neither"):
            batchnorm.batch_norm(x, *statistics, training=True)
        with pytest.raises(RuntimeError, match="must be defined in evaluation mode"):
            batchnorm.batch_norm(x, *statistics)
    assert not one.any()


@pytest.mark.parametrize(
    "options,error,text",
    [
        ({"num_features": 3.0}, TypeError, "num_features must be an integer, not float"),
        ({"num_features": "3"}, TypeError, "num_features must be an integer, not str"),
        ({"num_features": None}, TypeError, "num_features must be an integer, not NoneType"),
        ({"num_features": True}, TypeError, "num_features must be an integer, not bool"),
        ({"num_features": -1}, RuntimeError, "negative dimension -1"),
        ({"num_features": 10**30}, ValueError, "does not fit 64 bits"),
        ({"num_features": -(10**30)}, ValueError, "does not fit 64 bits"),
        ({"num_features": 1 << 62}, MemoryError, "address space"),
        ({"eps": "1"}, TypeError, "eps must be a number, not str"),
        ({"eps": None}, TypeError, "eps must be a number, not NoneType"),
        ({"momentum": "0.1"}, TypeError, "momentum must be a number or None, not str"),
        ({"momentum": 1j}, TypeError, "momentum must be a number or None, not complex"),
        ({"momentum": float("nan")}, ValueError, "momentum must not be NaN"),
        ({"dtype": np.int32}, TypeError, "float32 or float64, not int32"),
        ({"device": "cuda"}, ValueError, "not on cuda"),
    ],
)
def test_odd_arguments_of_the_constructor(options, error, text):
    with pytest.raises(error, match=text):
        batchnorm.BatchNorm1d(**{"num_features": 3, **options})
    for name in ("eps", "momentum"):
        if name in options:
            layer = batchnorm.BatchNorm1d(3)
            with pytest.raises(error, match=text):
                setattr(layer, name, options[name])
            assert getattr(layer, name) == getattr(batchnorm.BatchNorm1d(3), name)


@pytest.mark.parametrize("number", [np.int64(3), np.uint8(3)])
def test_numbers_of_other_types_are_taken(number):
    layer = batchnorm.BatchNorm1d(number, np.float32(0.5), np.float64(0.25))
    assert repr(layer) == repr(batchnorm.BatchNorm1d(3, 0.5, 0.25))
    layer.momentum = 1
    layer(np.ones((4, 3), np.float32))
    assert np.array_equal(layer.running_mean, np.ones(3))


@pytest.mark.parametrize(
    "number,error,text",
    [
        (0, ValueError, "positive"),
        (-1, ValueError, "positive"),
        (-(10**30), ValueError, "positive"),
        (10**30, ValueError, "too large"),
        (1 << 31, ValueError, "too large"),
        (1.0, TypeError, "expects an int, but got float"),
        ("1", TypeError, "expects an int, but got str"),
        (None, TypeError, "expects an int, but got NoneType"),
    ],
)
def test_odd_numbers_of_threads(number, error, text):
    before = batchnorm.get_num_threads()
    with pytest.raises(error, match=text):
        batchnorm.set_num_threads(number)
    assert batchnorm.get_num_threads() == before


def test_states_that_are_none():
    layer = batchnorm.BatchNorm1d(3)
    for state in (5, None, "weight", [("weight", np.ones(3))]):
        with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got <class"):
            layer.load_state_dict(state)
    for value in ("word", [None] * 3, np.array(["a"] * 3)):
        with pytest.raises(RuntimeError, match='parameter named "weight", expected an array'):
            layer.load_state_dict({**layer.state_dict(), "weight": value})
    assert np.array_equal(layer.weight, np.ones(3))


def test_numbers_do_not_fill_arrays():
    layer = batchnorm.BatchNorm1d(3)
    for value in (3.0, np.float32(3), np.array(3.0), "word"):
        for name in ("weight", "bias", "running_mean"):
            with pytest.raises(TypeError, match=f"cannot assign '.*' as '{name}'"):
                setattr(layer, name, value)
    with pytest.raises(TypeError, match="cannot assign 'str'"):
        layer.num_batches_tracked = "word"
    with pytest.raises(ValueError, match="shape"):
        layer.weight = [3.0]
    assert np.array_equal(layer.weight, np.ones(3))
    layer.num_batches_tracked = 7
    assert layer.num_batches_tracked == 7


@pytest.mark.parametrize(
    "x",
    [
        np.ones((1, 3), np.float32),
        np.ones((4, 2), np.float32),
        np.ones((4, 3)),
        np.ones((4, 3), np.int32),
        np.ones((4, 3, 2, 2), np.float32),
        "word",
    ],
)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_call_that_fails_does_not_count(x, momentum):
    layer = batchnorm.BatchNorm1d(3, momentum=momentum)
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        layer(x)
    assert layer.num_batches_tracked == 0 and not layer.running_mean.any()


def test_a_copy_has_no_input_for_backward():
    layer, x = batchnorm.BatchNorm1d(3), np.random.default_rng(0).random((4, 3), np.float32)
    layer(x)
    other = copy.deepcopy(layer)
    with pytest.raises(RuntimeError, match="backward was called before a forward"):
        other.backward(x)
    layer.backward(x)
