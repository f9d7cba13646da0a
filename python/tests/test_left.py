# SPDX-License-Identifier: MIT
"""What was read without its mask or its sign, and other odd arguments."""

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
