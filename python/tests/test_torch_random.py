# SPDX-License-Identifier: MIT
"""Random shapes, strides, types and options against PyTorch."""

import pytest
from torch_networks import CLASSES, close, pair, torch

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies


@st.composite
def views(draw):
    """A tensor of 2 to 5 dimensions that is cut, turned and thinned out of a larger one."""
    rank = draw(st.integers(2, 5))
    shape = [draw(st.integers(1, 4)) for _ in range(rank)]
    steps = [draw(st.integers(1, 2)) for _ in range(rank)]
    order = draw(st.permutations(range(rank)))
    dtype = draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]))
    source = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    sizes = [shape[d] * steps[d] + draw(st.integers(0, 1)) for d in order]
    whole = torch.randn(sizes, generator=source, dtype=torch.float64).to(dtype)
    view = whole.permute([order.index(d) for d in range(rank)])
    view = view[tuple(slice(0, shape[d] * steps[d], steps[d]) for d in range(rank))]
    return view.expand(draw(st.integers(1, 3)), *view.shape[1:]) if shape[0] == 1 else view


@hypothesis.settings(max_examples=400, deadline=None, derandomize=True)
@hypothesis.given(
    views(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.1, 1.0, None]),
    st.booleans(),
    st.booleans(),
)
def test_any_view(x, training, affine, tracks, momentum, same_dtype, grad):
    rank = {2: 1, 3: 1, 4: 2, 5: 3}[x.dim()]
    dtype = x.dtype if same_dtype or x.dtype is torch.float64 else torch.float32
    options = {
        "affine": affine,
        "track_running_stats": tracks,
        "momentum": momentum,
        "dtype": dtype,
    }
    theirs, ours = pair(CLASSES[rank], x.shape[1], **options)
    found = []
    for layer in (theirs, ours):
        layer.train(training)
        z = x.detach().requires_grad_(grad)
        try:
            y = layer(z)
        except (ValueError, RuntimeError) as error:
            found.append((type(error), str(error)))
            continue
        if y.requires_grad:
            y.backward(torch.linspace(-1, 1, y.numel(), dtype=x.dtype).view(y.shape))
        grads = [None if p.grad is None else p.grad for p in layer.parameters()]
        found.append((y, z.grad, *grads, *layer.buffers()))
        strides = y.stride()
        hypothesis.note(f"{type(layer)} {strides}")
    expected, result = found
    if isinstance(expected[0], type):
        assert result == expected
        return
    assert x.shape[1] == 1 or expected[0].stride() == result[0].stride()  # see test_torch_strides
    loose = x.dtype if x.dtype in (torch.bfloat16, torch.float16) else torch.float32
    for a, b in zip(result, expected):
        # A variance near 0 makes gradients large, and differences with them.
        scale = 1 if b is None or not b.numel() else max(1.0, float(b.double().abs().max()))
        close(
            None if a is None else a.double(), None if b is None else b.double(), loose, 20 * scale
        )
