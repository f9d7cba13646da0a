# SPDX-License-Identifier: MIT
"""Any shape, type and strides against the same elements in row-major order."""

import numpy as np
import pytest
from conftest import Reference, assert_near, parameters_of

import batchnorm

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings, strategies  # noqa: E402

DTYPES = [np.dtype(name) for name in ("float32", "float64", "float16")]
try:
    import ml_dtypes

    DTYPES.append(np.dtype(ml_dtypes.bfloat16))
except ImportError:
    pass


@strategies.composite
def arrays(draw, least=2, most=5):
    """An array whose dimensions lie in any order in memory, with gaps, backwards, or broadcast."""
    rank = draw(strategies.integers(least, most))
    shape = draw(strategies.lists(strategies.integers(1, 5), min_size=rank, max_size=rank))
    dtype = draw(strategies.sampled_from(DTYPES))
    order = draw(strategies.permutations(range(rank)))
    steps = draw(
        strategies.lists(
            strategies.sampled_from([1, 1, 1, 2, -1, -2, 0]), min_size=rank, max_size=rank
        )
    )
    seed = draw(strategies.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    stored = [1 if steps[d] == 0 else shape[d] * abs(steps[d]) for d in order]
    offset = draw(strategies.sampled_from([0, 0, 100]))
    whole = rng.normal(offset, 1, stored).astype(dtype).transpose(np.argsort(order))
    whole = whole[tuple(slice(None, None, step or 1) for step in steps)]
    return np.broadcast_to(whole, shape)


@settings(max_examples=300, deadline=None)
@given(arrays(), strategies.booleans())
def test_layers(x, training):
    values = x.size // x.shape[1]
    layer, plain = (
        getattr(batchnorm, f"BatchNorm{max(x.ndim - 2, 1)}d")(
            x.shape[1], dtype=parameters_of(x.dtype)
        ).train(training)
        for _ in range(2)
    )
    if training and values == 1:
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            layer(x)
        return
    copy = np.array(x, order="C")
    y, wanted = layer(x), plain(copy)
    assert y.dtype == x.dtype and y.shape == x.shape and y.flags.writeable
    if training:
        reference = Reference(copy)
        # Floats are summed up in double; otherwise a mean far from 0 costs digits of the type.
        scale = (
            2
            if x.dtype == np.float32
            else 2 + 8 * float(np.abs(reference.mean * reference.rstd).max())
        )
        assert_near(y, reference.y, factor=scale)
        assert_near(
            layer.backward(x), plain.backward(copy).astype(np.longdouble), factor=scale * 20
        )
    else:
        assert (y == wanted).all()
        assert (layer.backward(x) == plain.backward(copy)).all()
    assert (x == copy).all()


@settings(max_examples=200, deadline=None)
@given(arrays(most=7))
def test_functions(x):
    copy = np.array(x, order="C")
    stats, plain = batchnorm.statistics(x), batchnorm.statistics(copy)
    assert_near(stats.mean, plain.mean, np.float32, factor=4)
    assert (stats.count == plain.count).all()
    mean, var = stats.mean.astype(parameters_of(x.dtype)), stats.var.astype(parameters_of(x.dtype))
    given_x, given_copy = (batchnorm.batch_norm(array, mean, var) for array in (x, copy))
    assert (given_x == given_copy).all()
    if x.size > x.shape[1]:
        y = batchnorm.batch_norm(x, training=True)
        assert_near(y, batchnorm.batch_norm(copy, training=True).astype(np.longdouble), factor=20)
