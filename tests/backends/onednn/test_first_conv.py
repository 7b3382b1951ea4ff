"""Gradient of the filters of a first convolution in C: the values of the reference, and its use."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn import OneDnnBackend
from minicaffe.backends.onednn.kernels import _first_conv
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.conv import Conv
from tolerances import BY_DTYPE, assert_close

# Image, filters, kernel, stride, padding: full and single blocks of filters; taps a multiple
# of six and not; columns that no window reaches; padding on both axes, on one and on none.
CASES = [
    ((23, 19), 64, (7, 7), (2, 2), (3, 3)),
    ((13, 17), 48, (5, 5), (1, 1), (0, 0)),
    ((9, 14), 80, (3, 3), (1, 2), (1, 1)),
    ((18, 22), 96, (5, 4), (4, 3), (0, 2)),
    ((7, 11), 32, (2, 3), (3, 4), (1, 2)),
    ((23, 18), 16, (6, 5), (1, 3), (2, 1)),
]


@pytest.fixture
def always(monkeypatch):
    """Use the C kernel for all sizes."""
    monkeypatch.setattr(_first_conv, "is_faster", lambda *_: True)


def gradients(backend, case, passes=2):
    """Return dw and db after some passes, and the kernel."""
    image, filters, kernel, stride, pad = case
    axes = zip(image, kernel, stride, pad, strict=True)
    out = [(n + 2 * p - k) // s + 1 for n, k, s, p in axes]
    rng = np.random.default_rng(4)
    x, y = backend.tensor((5, 3, *image)), backend.tensor((5, filters, *out))
    w, b = backend.tensor((filters, 3, *kernel)), backend.tensor((filters,))
    dy, dw, db = (backend.tensor(t.shape) for t in (y, w, b))
    for tensor in (x, dy):
        tensor.set(rng.standard_normal(tensor.shape))
    planned = backend.plan(Conv(kernel, stride, pad, (1, 1)), x, w, y, b)
    planned.forward(x, w, b, y)
    for _ in range(passes):
        planned.backward_weights(x, dy, dw, db)
    planned.backward_weights(x, dy, dw, None)
    return dw.get(), db.get(), planned


@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_those_of_the_reference(backend, always, case):
    *found, kernel = gradients(backend, case)
    *expected, _ = gradients(ReferenceBackend(), case)
    assert isinstance(kernel._first_conv(), _first_conv.FirstConvGradient)
    for got, want, what in zip(found, expected, ("dw", "db"), strict=True):
        assert_close(got, want, BY_DTYPE["float32"], what)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_are_reproducible(always, threads):
    made = OneDnnBackend(threads=threads)
    if made.native is None:
        pytest.skip("the C kernels are not compiled")
    first, second = (gradients(made, CASES[0], passes=1) for _ in range(2))
    for one, other in zip(first[:2], second[:2], strict=True):
        np.testing.assert_array_equal(one, other)


def test_values_that_are_not_finite_reach_their_filters(backend, always):
    image, filters, kernel, stride, pad = CASES[0]
    x, w = backend.tensor((2, 3, *image)), backend.tensor((filters, 3, *kernel))
    y, dw = backend.tensor((2, filters, 12, 10)), backend.tensor(w.shape)
    dy = np.ones(y.shape)
    dy[1, 5, 6, 4] = np.nan
    x.set(np.ones(x.shape))
    y.set(dy)
    planned = backend.plan(Conv(kernel, stride, pad, (1, 1), bias=False), x, w, y)
    planned.backward_weights(x, y, dw, None)
    is_lost = np.isnan(dw.get()).reshape(filters, -1)
    assert is_lost[5].all()
    assert is_lost.sum() == is_lost[5].size


@pytest.mark.parametrize(
    ("channels", "filters", "more"),
    [(16, 32, {}), (3, 20, {}), (3, 32, {"dilation": (2, 2)}), (3, 48, {"group": 3})],
    ids=["channels", "filters", "dilation", "group"],
)
def test_other_convolutions_have_no_c_kernel(backend, always, channels, filters, more):
    op = Conv(**{"kernel": (3, 3), "stride": (2, 2), "pad": (2, 2), "dilation": (1, 1), **more})
    out = [(n + 4 - 2 * d - 1) // 2 + 1 for n, d in zip((19, 15), op.dilation, strict=True)]
    x, y = backend.tensor((2, channels, 19, 15)), backend.tensor((2, filters, *out))
    w = backend.tensor((filters, channels // op.group, 3, 3))
    assert backend.plan(op, x, w, y, backend.tensor((filters,)))._first_conv() is None


def test_avx512_leaves_small_windows_to_the_library(backend):
    *_, large = gradients(backend, CASES[0])
    *_, small = gradients(backend, CASES[2])
    assert large._first_conv() is not None
    assert (small._first_conv() is not None) == (backend.native.lanes == 8)
