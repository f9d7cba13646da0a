# SPDX-License-Identifier: MIT
"""batch_norm and statistics."""

import pickle

import numpy as np
import pytest
from conftest import Reference, assert_near, parameters_of
from test_arrays import layouts

import batchnorm


def test_batch_norm(dtype, rng):
    own = parameters_of(dtype)
    x = rng.normal(2, 3, (3, 4, 5, 6)).astype(dtype)
    weight, bias = rng.normal(1, 1, (2, 4)).astype(own)
    mean, var = np.zeros(4, own), np.ones(4, own)
    reference = Reference(x, weight, bias, 1e-3)
    for name, view in [("as it is", x), *layouts(x)]:
        mean[:], var[:] = 0, 1
        y = batchnorm.batch_norm(view, mean, var, weight, bias, True, 0.5, 1e-3)
        assert y.dtype == dtype, name
        assert_near(y, reference.y)
        assert_near(mean, reference.mean / 2)
        given = batchnorm.batch_norm(view, mean, var, weight, bias, eps=1e-3)
        wide = [
            np.reshape(a, (1, 4, 1, 1)).astype(np.longdouble) for a in (mean, var, weight, bias)
        ]
        wanted = (x.astype(np.float64) - wide[0]) / np.sqrt(wide[1] + 1e-3) * wide[2] + wide[3]
        assert_near(given, wanted)


def test_batch_norm_of_few_and_many_dimensions(rng):
    for shape in ((5, 3), (2, 3, 2, 2, 2, 2, 2, 2)):
        x = rng.random(shape, np.float32)
        assert_near(batchnorm.batch_norm(x, training=True), Reference(x).y)


@pytest.mark.parametrize(
    "arguments, error, sentence",
    [
        ({}, RuntimeError, "running_mean must be defined in evaluation mode"),
        (
            {"running_mean": np.zeros(3, "f4")},
            RuntimeError,
            "running_var must be defined in evaluation mode",
        ),
        (
            {"training": True, "weight": np.ones(2, "f4")},
            RuntimeError,
            "weight should contain 3 elements not 2",
        ),
        (
            {"training": True, "weight": np.ones(3)},
            RuntimeError,
            "weight must be float32, not float64",
        ),
        (
            {"training": True, "weight": np.ones(6, "f4")[::2]},
            ValueError,
            "must lie one after the other",
        ),
        (
            {"training": True, "eps": 0.0},
            ValueError,
            "batch_norm eps must be positive during training, but got 0.0",
        ),
        ({"eps": -1.0}, ValueError, "batch_norm eps must be non-negative, but got -1.0"),
        (
            {"x": np.zeros((1, 3), "f4"), "training": True},
            ValueError,
            r"got input size torch.Size\(\[1, 3\]\)",
        ),
        (
            {"x": np.zeros(3, "f4"), "training": True},
            ValueError,
            r"expected 2D to 8D input \(got 1D input\)",
        ),
        (
            {
                "training": True,
                "momentum": np.nan,
                "running_mean": np.zeros(3, "f4"),
                "running_var": np.ones(3, "f4"),
            },
            ValueError,
            "option",
        ),
    ],
)
def test_batch_norm_refuses(arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        batchnorm.batch_norm(**{"x": np.zeros((4, 3), np.float32), **arguments})


def test_running_statistics_that_cannot_be_written(rng):
    mean = np.zeros(3, np.float32)
    mean.flags.writeable = False
    x = rng.random((4, 3), np.float32)
    with pytest.raises(ValueError, match="running_mean is read-only"):
        batchnorm.batch_norm(x, mean, np.ones(3, np.float32), training=True)
    assert batchnorm.batch_norm(x, mean, np.ones(3, np.float32)).shape == x.shape


def test_statistics(dtype, rng):
    x = rng.normal(1000 if dtype == np.float64 else 2, 1, (9, 4, 5, 6)).astype(dtype)
    reference = Reference(x)
    exact = (
        np.float64 if dtype.itemsize > 2 else np.float32
    )  # 16-bit elements are summed up in short runs of floats
    stats = batchnorm.Statistics()
    assert repr(stats) == "Statistics()" and stats.num_features is None and len(stats.mean) == 0
    for piece in np.split(x, 3):
        assert stats.update(piece) is stats
    for name, view in layouts(x):
        other = batchnorm.statistics(view)
        for seen in (stats, other):
            assert_near(seen.mean, reference.mean, exact)
            assert_near(seen.var, reference.var, exact, factor=100)
            assert (seen.count == reference.count).all(), name
    assert (stats.count == reference.count).all() and repr(stats) == "Statistics(4, count=270)"
    assert_near(stats.variance(), reference.var * 270 / 269, exact, factor=100)
    assert_near(
        stats.rstd(1e-3), 1 / np.sqrt(reference.var + np.longdouble(1e-3)), exact, factor=100
    )


def test_statistics_merge(rng):
    x = rng.normal(5, 2, (12, 3)).astype(np.float32)
    parts = [pickle.loads(pickle.dumps(batchnorm.statistics(part))) for part in np.split(x, [2, 7])]
    whole = batchnorm.Statistics()
    for part in parts:
        assert whole.merge(part) is whole
    assert_near(whole.mean, Reference(x).mean)
    assert_near(whole.var, Reference(x).var)
    assert (parts[0].count == 2).all(), "what is merged stays"
    whole.merge(batchnorm.Statistics())
    assert (whole.count == 12).all()
    with pytest.raises(ValueError, match="of 3 and of 2 channels cannot be merged"):
        whole.merge(batchnorm.Statistics(2))
    with pytest.raises(ValueError, match="the input has 2 channels, and the statistics have 3"):
        whole.update(x[:, :2])
    assert (whole.count == 12).all()
    assert np.isnan(batchnorm.Statistics(2).mean).all()


def test_statistics_of_all_data_for_a_layer(rng):
    x = rng.normal(5, 2, (12, 3)).astype(np.float32)
    stats = batchnorm.Statistics().update(x[:5]).update(x[5:])
    layer = batchnorm.BatchNorm1d(3).eval()
    layer.running_mean, layer.running_var = stats.mean, stats.var
    assert_near(layer(x), Reference(x).y)
