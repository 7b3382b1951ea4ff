"""Convolution of small images in C: values, fused ops, accumulation, and the shapes it is for."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn import OneDnnBackend
from minicaffe.backends.onednn import backend as backend_module
from minicaffe.backends.onednn.kernels._small_conv import SmallConv, plan_small_conv
from minicaffe.backends.onednn.runtime.channel_epilogue import ChannelEpilogue
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.conv import Conv
from tolerances import BY_DTYPE, assert_close

# Images, filters, kernel and padding: whole and partial vectors of pixels and taps, several blocks
# of channels and rows, runs of more than 8 values, one image.
CASES = {
    "lenet1": ((3, 1, 28, 28), 20, (5, 5), (0, 0)),
    "lenet2": ((5, 20, 12, 12), 50, (5, 5), (0, 0)),
    "padded": ((2, 7, 9, 13), 11, (3, 5), (1, 2)),
    "wide": ((3, 3, 6, 90), 5, (2, 11), (0, 4)),
    "one": ((1, 37, 7, 6), 3, (4, 3), (2, 0)),
    "point": ((4, 2, 3, 3), 1, (3, 3), (0, 0)),
}


def y_shape(x, filters, op):
    sides = zip(x[2:], op.kernel, op.pad, strict=True)
    return (x[0], filters, *(n + 2 * p - k + 1 for n, k, p in sides))


def passes(backend, kernel, shapes, forward):
    """Return y and dx, which overwrite NaN, and dw and db after one and two additions."""
    rng = np.random.default_rng(1)
    x, w, b, dy = (backend.tensor(shape) for shape in shapes)
    for tensor in (x, w, b, dy):
        tensor.set(rng.standard_normal(tensor.shape))
    y, dx, dw, db = (backend.tensor(t.shape) for t in (dy, x, w, b))
    for tensor in (y, dx):
        tensor.set(np.full(tensor.shape, np.nan))
    forward(kernel, x, w, b, y)
    kernel.backward_data(dy, w, dx)
    results = [y.get(), dx.get()]
    for _ in range(2):
        kernel.backward_weights(x, dy, dw, db)
        results += [dw.get(), db.get()]
    kernel.backward_weights(x, dy, None, db)
    kernel.backward_weights(x, dy, dw, None)
    return [*results, dw.get(), db.get()]


@pytest.mark.parametrize("name", CASES)
def test_all_passes_equal_those_of_the_reference(backend, name):
    x, filters, window, pad = CASES[name]
    op = Conv(window, (1, 1), pad, (1, 1))
    y = y_shape(x, filters, op)
    shapes = (x, (filters, x[1], *window), (filters,), y)
    small = SmallConv(backend, backend.native, op, x, y)
    found = passes(
        backend, small, shapes, lambda k, x, w, b, y: k.forward(x, w, ChannelEpilogue(b), y)
    )
    reference = ReferenceBackend()
    kernel = reference.plan(op, *(reference.tensor(s) for s in (*shapes[:2], y, shapes[2])))
    expected = passes(reference, kernel, shapes, lambda k, x, w, b, y: k.forward(x, w, b, y))
    names = ("y", "dx", "dw", "db", "dw of two", "db of two", "dw of three", "db of three")
    for got, want, what in zip(found, expected, names, strict=True):
        assert_close(got, want, BY_DTYPE["float32"], what)


def test_factor_term_and_relu_are_applied_in_this_order_and_nan_stays(backend):
    op, x_shape = Conv((3, 3), (1, 1), (0, 0), (1, 1)), (2, 1, 5, 5)
    y_shape = (2, 3, 3, 3)
    shapes = (x_shape, (3, 1, 3, 3), (3,), y_shape, (1, 3, 1, 1), (1, 3, 1, 1))
    x, w, b, y, factor, term = (backend.tensor(shape) for shape in shapes)
    rng = np.random.default_rng(2)
    for tensor in (x, w, b, factor, term):
        tensor.set(rng.standard_normal(tensor.shape))
    small = SmallConv(backend, backend.native, op, x_shape, y_shape)
    small.forward(x, w, ChannelEpilogue(b), y)
    expected = np.maximum(y.get() * factor.get() + term.get(), 0)
    assert 0 < (expected == 0).sum() < expected.size
    small.forward(x, w, ChannelEpilogue(b, (factor, term), True), y)
    assert_close(y.get(), expected, BY_DTYPE["float32"], "y")
    x.write()[1, 0, 2, 2] = np.nan
    small.forward(x, w, ChannelEpilogue(b, (factor, term), True), y)
    assert np.isnan(y.get()[1]).all()
    assert np.isfinite(y.get()[0]).all()


def test_results_do_not_change_from_run_to_run(backend):
    x, filters, window, pad = CASES["lenet2"]
    op = Conv(window, (1, 1), pad, (1, 1))
    y = y_shape(x, filters, op)
    shapes = (x, (filters, x[1], *window), (filters,), y)

    def forward(kernel, x, w, b, y):
        kernel.forward(x, w, ChannelEpilogue(b, rectifies=True), y)

    small = SmallConv(backend, backend.native, op, x, y)
    first, second = (passes(backend, small, shapes, forward) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a, b)


# One chosen shape, and shapes and settings for which oneDNN is faster or needed.
@pytest.mark.parametrize(
    ("x", "filters", "settings", "is_chosen"),
    [
        ((64, 20, 12, 12), 50, {}, True),
        ((64, 1, 28, 28), 20, {}, True),
        ((64, 32, 12, 12), 64, {}, False),
        ((64, 3, 32, 32), 20, {}, False),
        ((64, 20, 112, 112), 50, {}, False),
        ((64, 20, 12, 12), 50, {"stride": (2, 2)}, False),
        ((64, 20, 12, 12), 50, {"dilation": (2, 2)}, False),
        ((64, 20, 12, 12), 50, {"kernel": (1, 1)}, False),
        ((64, 20, 12, 12), 50, {"group": 2}, False),
        ((64, 20, 4, 12), 50, {}, False),
    ],
)
def test_shapes_that_the_c_kernels_are_for(backend, x, filters, settings, is_chosen):
    given = {"kernel": (5, 5), "stride": (1, 1), "pad": (0, 0), "dilation": (1, 1), **settings}
    op = Conv(**given)
    planned = plan_small_conv(backend, op, x, (x[0], filters, 8, 8))
    assert (planned is not None) == is_chosen


def test_without_c_kernels_onednn_computes(monkeypatch):
    monkeypatch.setattr(backend_module, "native_library", lambda: None)
    plain = OneDnnBackend(threads=1)
    assert (
        plan_small_conv(plain, Conv((5, 5), (1, 1), (0, 0), (1, 1)), (1, 1, 9, 9), (1, 20, 5, 5))
        is None
    )
