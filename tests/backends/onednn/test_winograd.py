"""Winograd's algorithm in the oneDNN backend: results, choice, and caching of filters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from minicaffe.backends.onednn.kernels import conv
from minicaffe.backends.onednn.runtime.library import DataType
from minicaffe.backends.onednn.runtime.memory import Buffer
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.rounding import round_to_bfloat16
from minicaffe.backends.onednn.winograd.correlation import correlation, flipped
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.conv import Conv
from minicaffe.ops.update import StepSize, Update, UpdateOperands
from probe import net_from_text
from tolerances import BFLOAT16, BY_DTYPE, Tolerance, assert_close

ALLOWED = BY_DTYPE["float32"]


def square(pad=(1, 1), size=3, **settings):
    return Conv((size, size), (1, 1), pad, (1, 1), **settings)


def tensor(backend, values):
    made = backend.tensor(values.shape)
    made.set(values)
    return made


def sizes(x, filters, op):
    """Return the shapes of w and y."""
    image = (n + 2 * p - k + 1 for n, p, k in zip(x[2:], op.pad, op.kernel, strict=True))
    return (filters, x[1] // op.group, *op.kernel), (x[0], filters, *image)


def all_ways(backend, op, x_shape, filters, seed=0, rounds=False):
    """Return y and dx, which overwrite NaN, and dw and db, accumulated once and twice.

    With `rounds`, of operands that are rounded to bfloat16; the bias is not.
    """
    rng = np.random.default_rng(seed)
    w_shape, y_shape = sizes(x_shape, filters, op)
    shapes = (x_shape, w_shape, (filters,), y_shape)
    x, w, b, dy = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    if rounds:
        x, w, dy = map(round_to_bfloat16, (x, w, dy))
    x, w, b, dy = (tensor(backend, values) for values in (x, w, b, dy))
    y, dx = (tensor(backend, np.full(shape, np.nan)) for shape in (y_shape, x_shape))
    kernel = backend.plan(op, x, w, y)
    kernel.forward(x, w, b if op.bias else None, y)
    kernel.backward_data(dy, w, dx)
    results = [y.get(), dx.get()]
    dw, db = backend.tensor(w_shape), backend.tensor((filters,)) if op.bias else None
    for _ in range(2):
        kernel.backward_weights(x, dy, dw, db)
        results += [dw.get()] + ([db.get()] if db is not None else [])
    return results


def suits(op, x, y, lanes=16):
    """Return whether a convolution and the gradient of its data use Winograd's algorithm."""
    sizes = correlation(op, x, y)
    return sizes is not None and sizes.is_faster(lanes) and flipped(sizes).is_faster(lanes)


# Sizes that are multiples of 4 or not; a range of tiles for each thread, or one for all threads.
SHAPES = {
    "fits": ((2, 64, 16, 20), 64, square()),
    "rest": ((3, 48, 15, 22), 80, square()),
    "no padding": ((2, 80, 17, 19), 32, square((0, 0))),
    "wide padding": ((3, 16, 13, 14), 64, square((2, 2))),
    "one-sided": ((3, 64, 14, 21), 80, square((0, 2))),
    "one image": ((1, 128, 30, 31), 64, square(bias=False)),
    "many images": ((33, 64, 7, 7), 64, square()),
    "groups": ((5, 192, 13, 13), 384, square(group=3)),
    "flat": ((2, 64, 4, 90), 64, square()),
    "large": ((1, 64, 90, 57), 64, square()),
    # y is written past the cache.
    "as large as the cache": ((1, 16, 258, 272), 64, square()),
    "many channels": ((3, 272, 11, 13), 496, square()),
    "groups of many channels": ((2, 512, 15, 13), 1024, square(group=2)),
    "5x5": ((2, 64, 15, 14), 80, square((2, 2), size=5)),
    "5x5, one-sided": ((3, 48, 9, 12), 32, square((4, 0), size=5)),
    "5x5, groups of many channels": ((2, 512, 11, 13), 768, square((2, 1), size=5, group=2)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_agrees_with_the_reference(onednn, name):
    shape, filters, op = SHAPES[name]
    _, y_shape = sizes(shape, filters, op)
    assert suits(op, shape, y_shape)
    want = all_ways(ReferenceBackend(np.float64), op, shape, filters)
    # Repeated, because scratch memory then has the contents of another size.
    for _ in range(2):
        got = all_ways(onednn, op, shape, filters)
        for i, (a, b) in enumerate(zip(got, want, strict=True)):
            assert_close(a, b, ALLOWED, f"result {i}")


def test_agrees_on_random_shapes(onednn):
    rng = np.random.default_rng(17)
    reference, tried = ReferenceBackend(np.float64), 0
    while tried < 12:
        group = int(rng.integers(1, 3))
        shape = (int(rng.integers(1, 10)), 16 * int(rng.integers(1, 7)) * group)
        shape += tuple(int(n) for n in rng.integers(3, 26, 2))
        filters = 16 * int(rng.integers(1, 7)) * group
        size = int(rng.choice([3, 5]))
        op = square(tuple(int(p) for p in rng.integers(0, size, 2)), size, group=group)
        if not suits(op, shape, sizes(shape, filters, op)[1]):
            continue
        tried += 1
        want = all_ways(reference, op, shape, filters, tried)
        got = all_ways(onednn, op, shape, filters, tried)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, ALLOWED, f"{shape}, {filters} filters, {op}")


def test_result_is_the_same_in_every_pass_and_layout(onednn):
    op, shape = square(), (4, 64, 23, 18)
    rng = np.random.default_rng(2)
    w_shape, y_shape = sizes(shape, 64, op)
    x, w, b = (tensor(onednn, rng.standard_normal(s)) for s in (shape, w_shape, (64,)))
    y = onednn.tensor(y_shape)
    kernel = onednn.plan(op, x, w, y)
    kernel.forward(x, w, b, y)
    want = y.get()
    packed, pinned = onednn.tensor(shape), onednn.tensor(y_shape)
    onednn.plan(op, x, w, packed).forward(x, w, b, packed)
    packed.move_from(x, packed.layout)
    view = pinned.host()
    for source, out in itertools.product((x, packed), (y, pinned)):
        kernel.forward(source, w, b, out)
        np.testing.assert_array_equal(out.get(), want)
    np.testing.assert_array_equal(view, want)


# The ways to change weights.
def _set(w, onednn):
    w.set(w.get() * 2)


def _update(w, onednn):
    w.update()[0] += 1


def _host(w, onednn):
    w.host()[...] -= 1


def _solver(w, onednn):
    dw, history = tensor(onednn, np.ones(w.shape)), onednn.tensor(w.shape)
    kernel = onednn.plan(Update("sgd", momentum=0.9), w, dw, history)
    kernel.step(
        [UpdateOperands(w, dw, [history])], lambda: StepSize(0.1, 0.0, 1.0), onednn.tensor(())
    )


@pytest.mark.parametrize("change", [_set, _update, _host, _solver])
def test_changed_weights_are_transformed_again(onednn, change):
    op, shape = square(bias=False), (2, 64, 16, 16)
    w_shape, y_shape = sizes(shape, 64, op)
    rng = np.random.default_rng(3)
    x, w = tensor(onednn, rng.standard_normal(shape)), tensor(onednn, rng.standard_normal(w_shape))
    y, reference = onednn.tensor(y_shape), ReferenceBackend(np.float64)
    kernel = onednn.plan(op, x, w, y)
    other = tensor(onednn, rng.standard_normal(w_shape))
    for weights in (w, w, other, w):
        kernel.forward(x, weights, None, y)
        change(weights, onednn)
    kernel.forward(x, w, None, y)
    want_x, want_w = tensor(reference, x.get()), tensor(reference, w.get())
    want = reference.tensor(y_shape)
    reference.plan(op, want_x, want_w, want).forward(want_x, want_w, None, want)
    assert_close(y.get(), want.get(), ALLOWED, "y")


def test_nothing_is_created_after_the_first_passes(onednn, monkeypatch):
    op, shape = square(), (4, 64, 18, 18)
    w_shape, y_shape = sizes(shape, 64, op)
    x, y, dx, dy = (onednn.tensor(s) for s in (shape, y_shape, shape, y_shape))
    w, b, dw, db = (onednn.tensor(s) for s in (w_shape, (64,), w_shape, (64,)))
    kernel = onednn.plan(op, x, w, y)
    created = []

    def iterate():
        w.set(np.ones(w_shape))
        dw.clear()
        db.clear()
        kernel.forward(x, w, b, y)
        kernel.backward_data(dy, w, dx)
        kernel.backward_weights(x, dy, dw, db)

    iterate()
    iterate()
    for kind in (Buffer, Primitive):
        monkeypatch.setattr(kind, "__init__", lambda *args, **kwargs: created.append(args))
    iterate()
    assert not created


@pytest.mark.parametrize(
    ("op", "x", "filters", "expected"),
    [
        (square(), (4, 64, 56, 56), 64, True),
        (square(), (4, 16, 56, 56), 48, True),
        (square(), (4, 72, 56, 56), 64, False),
        (square(group=2), (4, 64, 56, 56), 80, False),
        (square(), (1, 64, 14, 14), 64, True),
        (square(), (2, 64, 7, 7), 64, False),
        (square(), (64, 64, 5, 5), 64, False),
        (square((3, 1)), (4, 64, 56, 56), 64, False),
        (square((2, 2), size=5), (4, 64, 56, 56), 64, True),
        (square((5, 2), size=5), (4, 64, 56, 56), 64, False),
        (square((3, 3), size=7), (4, 64, 56, 56), 64, False),
        (square(transposed=True), (4, 64, 56, 56), 64, False),
        (Conv((3, 3), (1, 1), (1, 1), (2, 2)), (4, 64, 56, 56), 64, False),
        (Conv((3, 3), (2, 1), (1, 1), (1, 1)), (4, 64, 56, 56), 64, False),
        (Conv((3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1)), (1, 64, 9, 9, 9), 64, False),
    ],
)
def test_winograd_is_used_where_it_is_faster(op, x, filters, expected):
    windows = zip(x[2:], op.pad, op.kernel, strict=True)
    y = (x[0], filters, *(n + 2 * p - k + 1 for n, p, k in windows))
    assert suits(op, x, y) is expected


def test_blocks_of_the_instruction_set_divide_the_channels():
    sizes = correlation(square(), (4, 72, 56, 56), (4, 40, 56, 56))
    assert sizes.is_faster(8)
    assert not sizes.is_faster(16)


@pytest.mark.parametrize(
    ("x", "filters", "size", "expected"),
    [
        ((4, 64, 56, 56), 64, 3, True),  # replaces four multiplications by one
        ((4, 64, 30, 30), 64, 3, True),
        ((16, 64, 14, 14), 64, 3, False),
        ((16, 64, 13, 13), 64, 3, False),
        ((8, 64, 14, 14), 64, 3, True),  # few pixels: converting the filters takes too long
        ((16, 64, 28, 28), 64, 5, False),
    ],
)
def test_winograd_is_used_beside_bfloat16_where_it_saves_enough(x, filters, size, expected):
    sizes = correlation(square((size // 2,) * 2, size=size), x, (x[0], filters, *x[2:]))
    assert sizes.is_faster(16)
    assert sizes.is_faster(16, DataType.BF16) is expected


@pytest.fixture
def bfloat16(onednn):
    """Return a backend with bfloat16 products; skip on a CPU without them."""
    if onednn.native is None or onednn.native.instruction_set != "avx512_bf16":
        pytest.skip("this CPU has no bfloat16")
    return type(onednn)(precision="bf16")


@pytest.mark.parametrize("name", ["rest", "one-sided", "many channels", "5x5"])
def test_bfloat16_products_have_rounded_operands(bfloat16, name):
    shape, filters, op = SHAPES[name]
    want = all_ways(ReferenceBackend(np.float64), op, shape, filters, rounds=True)
    got = all_ways(bfloat16, op, shape, filters)
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        assert_close(a, b, BFLOAT16, f"result {i}")


def test_bfloat16_images_give_the_results_of_float32_images_of_the_same_values(bfloat16):
    op, shape = square(bias=False), (2, 64, 13, 18)
    w_shape, _ = sizes(shape, 64, op)
    rng = np.random.default_rng(5)
    x, w = (tensor(bfloat16, rng.standard_normal(s)) for s in (shape, w_shape))
    y, z, dx, dw = (bfloat16.tensor(s) for s in (shape, shape, shape, w_shape))
    kernel = bfloat16.plan(op, x, w, y)
    kernel.forward(x, w, None, y)
    assert y.stored.data_type is DataType.BF16
    results = []
    for source in (y, tensor(bfloat16, y.get())):
        dw.clear()
        kernel.forward(source, w, None, z)
        kernel.backward_data(source, w, dx)
        kernel.backward_weights(source, source, dw, None)
        results.append([t.get() for t in (z, dx, dw)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_direct_convolution_without_c_kernels(onednn, monkeypatch):
    shape, op = (4, 64, 16, 16), square()
    without = type(onednn)()
    monkeypatch.setattr(without, "native", None)
    monkeypatch.setattr(conv, "Winograd", None)
    want = all_ways(ReferenceBackend(np.float64), op, shape, 64)
    for a, b in zip(all_ways(without, op, shape, 64), want, strict=True):
        assert_close(a, b, ALLOWED, "result")


def test_nan_passes_the_fused_relu(onednn):
    text = NET[: NET.index('layer { name: "bn"')] + NET[NET.index('layer { name: "relu"') :]
    net = net_from_text(text, "TEST", backend=onednn)
    x = np.ones((2, 64, 18, 21), np.float32)
    x[1, 5, 9, 10] = np.nan
    net.blobs["data"].data.set(x)
    net.forward()
    y = net.blobs["c"].data.get()
    assert np.isnan(y[1, :, 8:11, 9:12]).all()
    assert np.isfinite(y[0]).all()


NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 64 dim: 18 dim: 21 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {
  num_output: 64 kernel_size: 3 pad: 1 weight_filler { type: "xavier" }
  bias_filler { type: "gaussian" std: 1 } } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "scale" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true
  filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
"""


@pytest.mark.parametrize("layers", [2, 3, 4, 5])
def test_epilogue_is_fused(onednn, layers):
    text = "layer {".join(NET.split("layer {")[: layers + 1])
    results = []
    for backend in (ReferenceBackend(np.float64), onednn):
        net = net_from_text(text, "TEST", backend=backend)
        rng = np.random.default_rng(4)
        for parameter in net.parameters:
            parameter.blob.data.set(np.abs(rng.standard_normal(parameter.blob.shape)) + 0.1)
        for _ in range(2):
            net.blobs["data"].data.set(rng.standard_normal((2, 64, 18, 21)))
            net.forward()
        results.append(net.blobs["c"].data.get())
    want, got = results
    assert_close(got, want, Tolerance(absolute=2e-5, relative=1e-4), "c")
