# SPDX-License-Identifier: MIT
"""Arrays in and out: layouts, types, DLPack, and what is refused."""

import array
import sys

import numpy as np
import pytest
from conftest import Reference, assert_near, parameters_of

import batchnorm


def layouts(x):
    """Views with the elements of x, (N, C, H, W), which lie otherwise in memory."""
    n, c, h, w = x.shape
    yield "channels last", np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    yield (
        "height and width swapped",
        np.ascontiguousarray(x.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2),
    )
    yield "batch last", np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    yield "Fortran", np.asfortranarray(x)
    wide = np.zeros((n, c + 2, 2 * h, 3 * w), x.dtype)
    wide[:, 1:-1, ::2, ::3] = x
    yield "a slice", wide[:, 1:-1, ::2, ::3]
    yield "backwards", np.ascontiguousarray(x[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1]
    yield "rows backwards", np.ascontiguousarray(x[:, :, :, ::-1])[:, :, :, ::-1]


def test_every_layout_gives_the_same(dtype, rng):
    x = rng.normal(1, 2, (3, 4, 5, 6)).astype(dtype)
    dy = rng.normal(0, 1, x.shape).astype(dtype)
    reference = Reference(x)
    wanted = reference.backward(dy)
    for name, view in layouts(x):
        layer = batchnorm.BatchNorm2d(4, dtype=parameters_of(dtype))
        y = layer(view)
        assert_near(y, reference.y)
        order, result = (
            np.argsort([-abs(stride) for stride in a.strides], kind="stable").tolist()
            for a in (view, y)
        )
        assert order == result, name
        assert_near(layer.backward(dy), wanted, factor=2)
        assert (view == x).all(), name
        out = np.full_like(wide := np.zeros((3, 4, 5, 12), dtype), 7)[..., ::2]
        assert layer(view, out=out) is out and (out == y).all(), name
        assert out.base is not None and (out.base.reshape(wide.shape)[..., 1::2] == 7).all(), name


def test_broadcast_inputs(rng):
    x = np.broadcast_to(rng.random((4, 3, 1), np.float32), (4, 3, 5))
    assert x.strides[2] == 0
    y = batchnorm.BatchNorm1d(3)(x)
    assert_near(y, Reference(x).y)
    assert (
        len(
            {
                y[i, j, k].__array_interface__["data"]
                for i in range(2)
                for j in range(2)
                for k in range(2)
            }
        )
        > 0
    )
    with pytest.raises(ValueError, match="read-only"):
        batchnorm.BatchNorm1d(3)(np.ones((4, 3, 5), np.float32), out=x)
    shared = np.lib.stride_tricks.as_strided(np.zeros((4, 3), np.float32), (4, 3, 5), (12, 4, 0))
    with pytest.raises(ValueError, match="strides"):
        batchnorm.BatchNorm1d(3)(np.ones((4, 3, 5), np.float32), out=shared)


def test_a_contiguous_input_gives_a_contiguous_result(rng):
    for shape in ((4, 3, 5, 6), (1, 3, 5, 6), (4, 1, 5, 6), (4, 3, 1, 1)):
        assert batchnorm.BatchNorm2d(shape[1])(rng.random(shape, np.float32)).flags.c_contiguous


class Capsule:
    """What has DLPack and nothing else, of either kind of capsule."""

    def __init__(self, array, versioned, device=(1, 0)):
        self.array, self.versioned, self.device, self.asked = array, versioned, device, []

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **arguments):
        self.asked.append(arguments)
        if arguments and not self.versioned:
            raise TypeError("no such argument")
        return self.array.__dlpack__(**arguments)


@pytest.mark.parametrize("versioned", [True, False])
def test_dlpack(versioned, rng):
    x = rng.random((4, 3, 5), np.float32)
    layer = batchnorm.BatchNorm1d(3)
    y = layer(Capsule(x[::2], versioned))
    assert (y == batchnorm.BatchNorm1d(3)(x[::2])).all()
    references = sys.getrefcount(x)
    for _ in range(10):
        layer(Capsule(x, versioned))
    layer.forget()
    assert sys.getrefcount(x) <= references
    out = np.zeros_like(x)
    wrapped = Capsule(out, versioned)
    assert layer(x, out=wrapped) is wrapped and out.any()


def test_dlpack_that_is_refused(rng):
    x = rng.random((4, 3), np.float32)
    layer = batchnorm.BatchNorm1d(3)
    with pytest.raises(ValueError, match="is on a device"):
        layer(Capsule(x, True, device=(2, 0)))
    with pytest.raises(TypeError, match="float32, float64, float16 or bfloat16"):
        layer(Capsule(np.ones((4, 3), np.int32), True))
    with pytest.raises(TypeError, match="neither a buffer nor DLPack"):
        layer([[1.0, 2.0, 3.0]])
    frozen = x.copy()
    frozen.flags.writeable = False
    if int(np.__version__.split(".")[0]) >= 2:
        with pytest.raises((ValueError, BufferError)):
            layer(x, out=Capsule(frozen, True))
    broken = Capsule(x, True)
    broken.__class__ = type("Broken", (Capsule,), {"__dlpack__": lambda self, **arguments: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        layer(broken)


@pytest.mark.parametrize("name", ["torch", "jax.numpy"])
def test_other_libraries(name, dtype, rng):
    library = pytest.importorskip(name)
    x = rng.random((4, 3, 5), np.float32).astype(dtype)
    own = (
        library.asarray(x.astype(np.float32))
        if name != "torch"
        else library.from_numpy(x.astype(np.float32))
    )
    own = own.astype(dtype) if name != "torch" else own.to(getattr(library, dtype.name))
    if str(own.dtype).rsplit(".", 1)[-1] != dtype.name:
        pytest.skip(f"{name} has no {dtype} here")
    layer, other = (batchnorm.BatchNorm1d(3, dtype=parameters_of(dtype)) for _ in range(2))
    y = layer(own)
    assert type(y) is np.ndarray and y.dtype == dtype and (y == other(x)).all()
    assert (layer.backward(own) == other.backward(x)).all()
    assert np.array_equal(batchnorm.statistics(own).mean, batchnorm.statistics(x).mean)


def test_buffers_of_others(rng):
    numbers = array.array("f", range(12))
    view = memoryview(numbers).cast("B").cast("f", (4, 3))
    y = batchnorm.BatchNorm1d(3)(view)
    assert (y == batchnorm.BatchNorm1d(3)(np.asarray(view))).all()
    with pytest.raises(TypeError, match='not a buffer of "B"'):
        batchnorm.BatchNorm1d(3)(b"bytes")


@pytest.mark.parametrize(
    "bad, error, sentence",
    [
        (
            lambda x: x.astype(np.int64),
            TypeError,
            "input must be float32, float64, float16 or bfloat16, not int64",
        ),
        (lambda x: x.astype(np.int8), TypeError, "not int8"),
        (lambda x: x.astype(bool), TypeError, "not bool"),
        (lambda x: x.astype(np.complex64), TypeError, "not complex64"),
        (lambda x: x.astype(np.longdouble), TypeError, "not float128|not longdouble"),
        (lambda x: x.astype(object), TypeError, "not object"),
        (lambda x: x.astype(x.dtype.newbyteorder()), TypeError, "not [<>]f4"),
        (lambda x: np.zeros(x.shape, [("a", "f4"), ("b", "f4")]), TypeError, "not "),
        (
            lambda x: np.zeros(x.shape, [("a", "f4"), ("b", "i2")])["a"],
            ValueError,
            "no multiple of their size",
        ),
        (
            lambda x: (
                np.frombuffer(bytes(4 * x.size + 1), np.uint8)[1:].view("f4").reshape(x.shape)
            ),
            ValueError,
            "not aligned",
        ),
        (lambda x: x.astype(np.float64), RuntimeError, "mixed dtype"),
        (lambda x: x[0], ValueError, r"expected 4D input \(got 3D input\)"),
        (lambda x: x[None], ValueError, r"expected 4D input \(got 5D input\)"),
        (
            lambda x: np.zeros((1,) * 12, np.float32),
            ValueError,
            r"expected 4D input \(got 12D input\)",
        ),
        (lambda x: np.float32(1), ValueError, r"expected 4D input \(got 0D input\)"),
        (lambda x: x[:, :2], RuntimeError, "running_mean should contain 2 elements not 3"),
        (lambda x: x[:1, :, :1, :1], ValueError, r"got input size torch.Size\(\[1, 3, 1, 1\]\)"),
        (lambda x: None, TypeError, "an object of the type NoneType"),
    ],
)
def test_inputs_that_are_refused(bad, error, sentence, rng):
    layer = batchnorm.BatchNorm2d(3)
    x = bad(rng.random((2, 3, 4, 5), np.float32))
    with pytest.raises(error, match=sentence):
        layer(x)
    assert layer.num_batches_tracked == 0 and not layer.running_mean.any()


def test_float8_is_refused():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(TypeError, match="not float8_e4m3fn"):
        batchnorm.BatchNorm1d(3)(np.zeros((4, 3), ml_dtypes.float8_e4m3fn))


def test_results_that_are_refused(rng):
    x = rng.random((4, 3, 5), np.float32)
    layer = batchnorm.BatchNorm1d(3)
    with pytest.raises(ValueError, match=r"out has the shape \(4, 3\), and the result \(4, 3, 5\)"):
        layer(x, out=x[:, :, 0])
    with pytest.raises(TypeError, match="out is float64, and the result float32"):
        layer(x, out=np.zeros(x.shape))
    with pytest.raises(ValueError, match="overlap"):
        layer(x[:, :, 1:], out=x[:, :, :-1])
    assert layer.num_batches_tracked == 0
    layer(x)
    with pytest.raises(
        RuntimeError, match=r"dy has the size \[4, 3\], the forward's input had \[4, 3, 5\]"
    ):
        layer.backward(x[:, :, 0])
    with pytest.raises(RuntimeError, match="dy is float64"):
        layer.backward(x.astype(float))


@pytest.mark.parametrize(
    "arguments, error",
    [
        ((-1,), RuntimeError),
        ((1.5,), TypeError),
        (("3",), TypeError),
        ((3, "x"), TypeError),
        ((3, 1e-5, "x"), TypeError),
    ],
)
def test_constructors_that_are_refused(arguments, error):
    with pytest.raises(error):
        batchnorm.BatchNorm2d(*arguments)


def test_more_constructors():
    for dtype in (np.float16, np.int64, complex):
        with pytest.raises(TypeError, match="a layer has parameters of float32 or float64, not"):
            batchnorm.BatchNorm1d(3, dtype=dtype)
    with pytest.raises(ValueError, match="not on cuda"):
        batchnorm.BatchNorm1d(3, device="cuda")
    with pytest.raises(NotImplementedError):
        batchnorm._layers.BatchNorm(3)
    assert batchnorm.BatchNorm1d(0).weight.shape == (0,)
    layer = batchnorm.BatchNorm2d(3, eps=-1.0)
    with pytest.raises(
        ValueError, match="batch_norm eps must be positive during training, but got -1.0"
    ):
        layer(np.ones((2, 3, 4, 4), np.float32))


def test_nothing_leaks(rng):
    """Many calls of every kind, which fail and which do not, leave no object and no memory."""
    x = rng.random((8, 16, 8), np.float32)
    bad = [x.astype(int), x[:, :3], x[0, 0], [1]]

    def calls():
        layer = batchnorm.BatchNorm1d(16)
        layer.backward(layer(x))
        layer(x, out=np.zeros_like(x))
        layer(x.transpose(2, 1, 0))
        layer.load_state_dict(layer.state_dict())
        batchnorm.statistics(x).rstd()
        batchnorm.batch_norm(x, layer.running_mean, layer.running_var, layer.weight)
        batchnorm.inspect(layer.state_dict())
        for wrong in bad:
            for call in (layer, layer.backward, batchnorm.statistics, batchnorm.batch_norm):
                try:
                    call(wrong)
                except (AttributeError, RuntimeError, TypeError, ValueError):
                    pass

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1])

    for _ in range(50):
        calls()
    pages, references = (
        resident(),
        [sys.getrefcount(thing) for thing in (x, *bad, np.dtype("f4"), None)],
    )
    for _ in range(500):
        calls()
    after = [sys.getrefcount(thing) for thing in (x, *bad, np.dtype("f4"), None)]
    assert all(abs(a - b) < 100 for a, b in zip(after, references)), (references, after)
    assert resident() - pages < 500, "2 MB more than before"
