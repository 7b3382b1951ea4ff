"""Direct convolution in C: the values of the reference, fused ops, padding, when it is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.kernels._direct_conv import DirectConv
from minicaffe.backends.onednn.kernels._small_conv import SmallConv
from minicaffe.backends.onednn.runtime.channel_epilogue import ChannelEpilogue
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.conv import Conv
from tolerances import BY_DTYPE, assert_close

# Images, rows and columns, channels, filters, kernel, stride, padding. Units are pixels or rows;
# threads share them or the outputs; channels fill their blocks or not; panels have one, two and
# three blocks; chunks of inputs are one and several; tiles have all sizes.
CASES = [
    (1, (7, 7), 48, 96, (1, 1), 1, (0, 0)),
    (1, (13, 3), 35, 24, (1, 1), 1, (0, 0)),
    (3, (5, 6), 19, 51, (1, 1), 1, (0, 0)),
    (1, (1, 1), 20, 70, (1, 1), 1, (0, 0)),
    (1, (6, 5), 500, 37, (1, 1), 1, (0, 0)),
    (1, (40, 30), 50, 23, (1, 1), 1, (0, 0)),
    (2, (9, 8), 33, 40, (1, 1), 2, (0, 0)),
    (1, (29, 41), 17, 5, (1, 1), 2, (0, 0)),
    (1, (4, 5), 18, 40, (1, 1), 1, (1, 2)),
    (1, (7, 7), 70, 45, (3, 3), 1, (1, 1)),
    (2, (9, 6), 17, 82, (3, 2), 1, (0, 1)),
    (2, (11, 35), 9, 33, (3, 3), 2, (1, 1)),
    (1, (5, 19), 34, 16, (5, 5), 1, (2, 2)),
]


def sizes(images, image, channels, filters, kernel, stride, pad):
    """Return the op and the shapes of x, w, y and b."""
    op = Conv(kernel, (stride, stride), pad, (1, 1))
    spans = zip(image, pad, kernel, strict=True)
    out = ((n + 2 * p - k) // stride + 1 for n, p, k in spans)
    shapes = (images, channels, *image), (filters, channels, *kernel), (images, filters, *out)
    return op, (*shapes, (filters,))


def operands(backend, shapes, seed=8):
    rng = np.random.default_rng(seed)
    tensors = [backend.tensor(shape) for shape in shapes]
    for tensor in tensors:
        tensor.set(rng.standard_normal(tensor.shape))
    return tensors


def direct(backend, op, shapes):
    return DirectConv(backend, backend.native, op, shapes[0], shapes[2])


@pytest.mark.parametrize("case", CASES)
def test_values_equal_those_of_the_reference(backend, case):
    op, shapes = sizes(*case)
    x, w, y, b = operands(backend, shapes)
    # Memory of an earlier kernel, which padding must not be taken from.
    backend.scratch(1 << 20).values[...] = np.nan
    direct(backend, op, shapes)(x, w, y, ChannelEpilogue(b))
    expected = operands(ReferenceBackend(), shapes)
    ReferenceBackend().plan(op, *expected).forward(
        expected[0], expected[1], expected[3], expected[2]
    )
    assert_close(y.get(), expected[2].get(), BY_DTYPE["float32"], "y")
    rest = y.values(y.layout).reshape(shapes[0][0], -1, *shapes[2][2:], backend.native.lanes)
    found = rest.transpose(0, 1, 4, 2, 3).reshape(shapes[0][0], -1, *shapes[2][2:])
    assert not found[:, shapes[2][1] :].any()


@pytest.mark.parametrize("case", [CASES[2], CASES[4], CASES[9]])
def test_factor_term_and_relu_are_applied_in_this_order_and_nan_stays(backend, case):
    op, shapes = sizes(*case)
    x, w, y, b = operands(backend, shapes)
    filters = shapes[3][0]
    factor, term = operands(backend, [(1, filters, 1, 1)] * 2, seed=9)
    kernel = direct(backend, op, shapes)
    kernel(x, w, y, ChannelEpilogue(b))
    expected = np.maximum(y.get() * factor.get() + term.get(), 0)
    assert 0 < (expected == 0).sum() < expected.size
    kernel(x, w, y, ChannelEpilogue(b, (factor, term), True))
    assert_close(y.get(), expected, BY_DTYPE["float32"], "y")
    w.write()[filters - 1] = np.nan
    kernel(x, w, y, ChannelEpilogue(b, (factor, term), True))
    assert np.isnan(y.get()[:, -1]).all()
    assert_close(y.get()[:, :-1], expected[:, :-1], BY_DTYPE["float32"], "y")
    x.write()[...] = np.nan
    w.set(np.ones(w.shape))
    kernel(x, w, y, ChannelEpilogue(b, (), True))
    assert np.isnan(y.get()).all()
    # The padding of y is zero whatever x is, because the next convolution multiplies it.
    assert np.isnan(y.values(y.layout)).sum() == y.get().size


@pytest.mark.parametrize("case", [CASES[0], CASES[5], CASES[6], CASES[9]])
def test_the_number_of_threads_changes_no_bit(backend, case):
    op, shapes = sizes(*case)
    x, w, y, b = operands(backend, shapes)
    found = []
    for threads in (1, 2, 3):
        kernel = direct(backend, op, shapes)
        kernel._threads = threads
        kernel(x, w, y, ChannelEpilogue(b, (), True))
        found.append(y.get())
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_small_images_with_many_filters_use_it_forward_only(backend):
    op, shapes = sizes(1, (7, 7), 512, 512, (1, 1), 1, (0, 0))
    x, w, y, b = operands(backend, shapes)
    kernel = backend.plan(op, x, w, y, b)
    assert isinstance(kernel._direct(), DirectConv)
    kernel.forward(x, w, b, y)
    expected = np.einsum("ncij,fc->nfij", x.get(), w.get()[:, :, 0, 0], dtype=np.float64)
    assert_close(y.get(), expected + b.get()[:, None, None], BY_DTYPE["float32"], "y")


@pytest.mark.parametrize(
    ("images", "image", "channels", "settings"),
    [
        (1, (56, 56), 512, {}),
        (8, (14, 14), 512, {}),
        (1, (2, 3), 512, {}),
        (1, (7, 7), 64, {}),
        (1, (7, 7), 520 + 3, {"group": 523}),
        (1, (7, 7), 512, {"group": 2}),
        (1, (8, 8), 512, {"dilation": (2, 2), "kernel": (3, 3), "pad": (2, 2)}),
        (1, (9, 9), 512, {"stride": (3, 3)}),
    ],
)
def test_other_convolutions_are_computed_by_others(backend, images, image, channels, settings):
    given = {"kernel": (1, 1), "stride": (1, 1), "pad": (0, 0), "dilation": (1, 1), "group": 1}
    op = Conv(**{**given, **settings}, bias=False)
    spans = zip(image, op.kernel, op.stride, op.pad, op.dilation, strict=True)
    out = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in spans)
    shapes = (
        (images, channels, *image),
        (channels, channels // op.group, *op.kernel),
        (images, channels, *out),
    )
    kernel = backend.plan(op, *(backend.tensor(shape) for shape in shapes))
    assert kernel._direct() is None


def test_a_single_image_of_much_work_is_shared_by_the_threads(backend):
    op, shapes = sizes(1, (30, 30), 20, 50, (3, 3), 1, (1, 1))
    assert backend.plan(op, *operands(backend, shapes))._native is None
    op, shapes = sizes(1, (12, 12), 20, 50, (5, 5), 1, (0, 0))
    assert isinstance(backend.plan(op, *operands(backend, shapes))._native, SmallConv)
