"""Depthwise convolution in C: the values of the reference, fused ops, and when it is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.kernels._depthwise_conv import DepthwiseConv
from minicaffe.backends.onednn.runtime.channel_epilogue import ChannelEpilogue
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.conv import Conv
from tolerances import BY_DTYPE, assert_close

# Rows and columns, stride, padding: whole and partial steps, odd and even sides, borders on no, one
# and both sides, windows that are mostly outside.
CASES = [
    ((9, 13), 1, (1, 1)),
    ((8, 11), 1, (0, 2)),
    ((4, 3), 1, (2, 0)),
    ((1, 2), 1, (1, 1)),
    ((9, 14), 2, (1, 1)),
    ((12, 9), 2, (0, 1)),
    ((7, 16), 2, (2, 0)),
    ((5, 5), 2, (2, 2)),
]


def depthwise(image, stride, pad, channels=32, **settings):
    """Return the op and the shapes of x, w, y and b."""
    op = Conv((3, 3), (stride, stride), pad, (1, 1), group=channels, **settings)
    out = ((n + 2 * p - 3) // stride + 1 for n, p in zip(image, pad, strict=True))
    shapes = (3, channels, *image), (channels, 1, 3, 3), (3, channels, *out), (channels,)
    return op, shapes


def passes(backend, op, shapes):
    """Return y and dx, which overwrite NaN, dw and db added twice, and the kernel."""
    rng = np.random.default_rng(8)
    x, w, y, b = (backend.tensor(shape) for shape in shapes)
    dx, dw, dy, db = (backend.tensor(shape) for shape in shapes)
    for tensor in (x, w, b, dy):
        tensor.set(rng.standard_normal(tensor.shape))
    for tensor in (y, dx):
        tensor.set(np.full(tensor.shape, np.nan))
    kernel = backend.plan(op, x, w, y, b)
    kernel.forward(x, w, b, y)
    kernel.backward_data(dy, w, dx)
    kernel.backward_weights(x, dy, dw, db)
    kernel.backward_weights(x, dy, dw, None)
    kernel.backward_weights(x, dy, None, db)
    return [t.get() for t in (y, dx, dw, db)], kernel


@pytest.mark.parametrize(("image", "stride", "pad"), CASES)
def test_all_passes_equal_those_of_the_reference(backend, image, stride, pad):
    op, shapes = depthwise(image, stride, pad)
    found, kernel = passes(backend, op, shapes)
    assert isinstance(kernel._native, DepthwiseConv)
    expected, _ = passes(ReferenceBackend(), op, shapes)
    for got, want, what in zip(found, expected, ("y", "dx", "dw", "db"), strict=True):
        assert_close(got, want, BY_DTYPE["float32"], what)


@pytest.mark.parametrize("stride", [1, 2])
def test_factor_term_and_relu_are_applied_in_this_order_and_nan_stays(backend, stride):
    op, shapes = depthwise((6, 7), stride, (1, 1))
    tensors = [backend.tensor(shape) for shape in shapes]
    x, w, y, b = tensors
    factor, term = (backend.tensor((1, 32, 1, 1)) for _ in range(2))
    rng = np.random.default_rng(9)
    for tensor in (x, w, b, factor, term):
        tensor.set(rng.standard_normal(tensor.shape))
    native = backend.plan(op, *tensors)._native
    native.forward(x, w, ChannelEpilogue(b), y)
    expected = np.maximum(y.get() * factor.get() + term.get(), 0)
    assert 0 < (expected == 0).sum() < expected.size
    native.forward(x, w, ChannelEpilogue(b, (factor, term), True), y)
    assert_close(y.get(), expected, BY_DTYPE["float32"], "y")
    x.write()[0, 5, 2, 2] = np.nan
    native.forward(x, w, ChannelEpilogue(b, (factor, term), True), y)
    assert np.isnan(y.get()[0, 5]).any()
    assert np.isfinite(np.delete(y.get(), 5, axis=1)).all()


@pytest.mark.parametrize(
    ("channels", "settings"),
    [
        (32, {"kernel": (5, 5), "pad": (2, 2)}),
        (32, {"stride": (3, 3)}),
        (32, {"stride": (1, 2)}),
        (32, {"dilation": (2, 2)}),
        (32, {"group": 16}),
        (20, {"group": 20}),
    ],
)
def test_other_convolutions_are_onednns(backend, channels, settings):
    given = {"kernel": (3, 3), "stride": (1, 1), "pad": (1, 1), "dilation": (1, 1), "group": 32}
    op = Conv(**{**given, **settings}, bias=False)
    spans = zip(op.kernel, op.stride, op.pad, op.dilation, strict=True)
    out = tuple((12 + 2 * p - d * (k - 1) - 1) // s + 1 for k, s, p, d in spans)
    shapes = (
        (2, channels, 12, 12),
        (channels, channels // op.group, *op.kernel),
        (2, channels, *out),
    )
    kernel = backend.plan(op, *(backend.tensor(shape) for shape in shapes))
    assert kernel._native is None
