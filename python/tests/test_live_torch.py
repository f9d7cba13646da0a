# SPDX-License-Identifier: MIT
"""The layers of NumPy beside PyTorch's own, where there is one."""

import numpy as np
import pytest
from conftest import assert_near, parameters_of

import batchnorm

torch = pytest.importorskip("torch")
SHAPES = {1: (6, 3, 10), 2: (4, 5, 6, 7), 3: (2, 3, 4, 5, 6)}


def pair(dims, *arguments, **options):
    """A layer of each."""
    return tuple(
        getattr(library, f"BatchNorm{dims}d")(*arguments, **options)
        for library in (batchnorm, torch.nn)
    )


@pytest.mark.parametrize("dims", SHAPES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": None},
        {"eps": 0.1, "bias": False},
        {"affine": False},
        {"track_running_stats": False},
        {"momentum": 0.7, "affine": False},
    ],
)
def test_training(dims, options, rng):
    mine, own = pair(dims, SHAPES[dims][1], **options)
    assert repr(mine) == repr(own)
    for step in range(3):
        x = rng.normal(step, 2, SHAPES[dims]).astype(np.float32)
        dy = rng.normal(0, 1, SHAPES[dims]).astype(np.float32)
        theirs = torch.from_numpy(x).requires_grad_()
        y = own(theirs)
        own.zero_grad()
        y.backward(torch.from_numpy(dy))
        assert_near(mine(x), y.detach().numpy().astype(np.longdouble), factor=10)
        assert_near(mine.backward(dy), theirs.grad.numpy().astype(np.longdouble), factor=10)
        for name, parameter in own.named_parameters():
            assert_near(
                getattr(mine, name).grad, parameter.grad.numpy().astype(np.longdouble), factor=100
            )
    state = own.state_dict()
    assert list(state) == list(mine.state_dict())
    for name, value in mine.state_dict().items():
        assert_near(value.astype(np.float32), state[name].numpy().astype(np.longdouble), factor=10)
    x = rng.normal(0, 1, SHAPES[dims]).astype(np.float32)
    assert_near(
        mine.eval()(x),
        own.eval()(torch.from_numpy(x)).detach().numpy().astype(np.longdouble),
        factor=10,
    )


def test_tensors_go_in(dtype, rng):
    own_type = parameters_of(dtype)
    mine = batchnorm.BatchNorm2d(5, dtype=own_type)
    own = torch.nn.BatchNorm2d(5, dtype=torch.float64 if own_type == np.float64 else torch.float32)
    x = torch.randn(4, 5, 6, 7).to(getattr(torch, dtype.name))
    for view in (
        x,
        x.to(memory_format=torch.channels_last),
        x[:, :, ::2],
        x.expand(2, 4, 5, 6, 7)[1],
    ):
        y = mine(view)
        wanted = own(view)
        assert y.dtype == dtype
        assert_near(y, wanted.detach().double().numpy().astype(np.longdouble), factor=10)
        strides = [stride * dtype.itemsize for stride in wanted.stride()]
        if view.is_contiguous() or view.is_contiguous(memory_format=torch.channels_last):
            assert list(y.strides) == strides
    assert mine.num_batches_tracked == 4
    with pytest.raises(BufferError, match="detach"):
        mine(torch.zeros(4, 5, 6, 7, requires_grad=True))


def test_states_go_both_ways(rng):
    mine, own = pair(2, 5)
    own(torch.randn(4, 5, 6, 7))
    assert str(mine.load_state_dict(own.state_dict())) == str(own.load_state_dict(own.state_dict()))
    mine(rng.random((4, 5, 6, 7), np.float32))
    own.load_state_dict(
        {name: torch.from_numpy(np.array(value)) for name, value in mine.state_dict().items()}
    )
    for name, value in mine.state_dict().items():
        assert (own.state_dict()[name].numpy() == value).all() and own.state_dict()[
            name
        ].numpy().dtype == value.dtype


STATES = [
    {},
    {"weight": (3,)},
    {"weight": (2,), "bias": (3,), "running_mean": (3,), "running_var": (3,)},
    {
        "weight": (3,),
        "bias": (3,),
        "running_mean": (3,),
        "running_var": (3,),
        "odd": (1,),
        "other": (1,),
    },
    {"weight": (3, 1), "odd": (1,), "num_batches_tracked": (2,)},
    {
        "weight": (3,),
        "bias": (3,),
        "running_mean": (3,),
        "running_var": (3,),
        "num_batches_tracked": (1,),
    },
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("shapes", STATES)
def test_states_that_do_not_fit(shapes, strict):
    mine, own = pair(1, 3)
    outcomes = []
    for layer, make in ((mine, np.ones), (own, torch.ones)):
        try:
            keys = layer.load_state_dict(
                {name: make(shape) for name, shape in shapes.items()}, strict=strict
            )
            outcomes.append((keys.missing_keys, keys.unexpected_keys, str(keys).split("Keys")[-1]))
        except RuntimeError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


BAD = [
    ("rank", lambda layer, make: layer(make(3, 4))),
    ("rank of 1", lambda layer, make: layer(make(3))),
    ("one value", lambda layer, make: layer(make(1, 3, 1, 1))),
    (
        "one value in evaluation without statistics",
        lambda layer, make: remove_all(layer).eval()(make(1, 3, 1, 1)),
    ),
    ("eps", lambda layer, make: set_eps(layer, 0.0)(make(2, 3, 4, 4))),
    ("negative eps", lambda layer, make: set_eps(layer, -2.0).eval()(make(2, 3, 4, 4))),
    (
        "half the statistics in evaluation",
        lambda layer, make: remove(layer, "running_var").eval()(make(2, 3, 4, 4)),
    ),
    (
        "half the statistics in training",
        lambda layer, make: remove(layer, "running_mean")(make(2, 3, 4, 4)),
    ),
    ("mode", lambda layer, make: layer.train("yes")),
]


def remove(layer, name):
    setattr(layer, name, None)
    return layer


def remove_all(layer):
    return remove(remove(layer, "running_mean"), "running_var")


def set_eps(layer, eps):
    layer.eps = eps
    return layer


def make_array(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize("call", [call for _, call in BAD], ids=[name for name, _ in BAD])
def test_errors_have_pytorchs_type_and_sentence(call):
    mine, own = pair(2, 3)
    with pytest.raises(Exception) as wanted:
        call(own, torch.ones)
    with pytest.raises(wanted.type) as got:
        call(mine, make_array)
    assert str(got.value) == str(wanted.value)


def test_errors_of_channels_begin_with_pytorchs_sentence():
    mine, own = pair(2, 3)
    with pytest.raises(RuntimeError) as wanted:
        own(torch.ones(2, 4, 5, 5))
    with pytest.raises(RuntimeError) as got:
        mine(make_array(2, 4, 5, 5))
    assert str(got.value).startswith(str(wanted.value))


@pytest.mark.parametrize(
    "arguments",
    [(3,), (3, 1e-3), (3, 1e-3, None), (3, 1, 2.5, False), (7, 1e-12, 1e-7, True, False)],
)
def test_repr(arguments):
    mine, own = pair(2, *arguments)
    assert repr(mine) == repr(own).replace("eps=1,", "eps=1.0,")


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(training, rng):
    x = rng.normal(2, 3, (4, 5, 6)).astype(np.float32)
    mean, var, weight, bias = rng.random((4, 5), np.float32) + 0.5
    theirs = [torch.from_numpy(array.copy()) for array in (x, mean, var, weight, bias)]
    wanted = torch.nn.functional.batch_norm(*theirs, training=training, momentum=0.3, eps=0.01)
    got = batchnorm.batch_norm(
        x, mean, var, weight, bias, training=training, momentum=0.3, eps=0.01
    )
    assert_near(got, wanted.numpy().astype(np.longdouble), factor=10)
    assert_near(mean, theirs[1].numpy().astype(np.longdouble), factor=10)
    assert_near(var, theirs[2].numpy().astype(np.longdouble), factor=10)
