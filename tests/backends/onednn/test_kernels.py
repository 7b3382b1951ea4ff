"""oneDNN kernels compared with the reference in float64, over many geometries.

The generic layer suite tests each kernel's contract on a few cases; these tests cover what is
specific to this backend: divisors, padding, layouts, accumulation, chunks.
"""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.kernels._channel_blocks import has_blocks
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import Unsupported
from minicaffe.ops.activation import (
    Abs,
    Bnll,
    Clip,
    Elu,
    Exp,
    Power,
    Relu,
    Sigmoid,
    Swish,
    Threshold,
)
from minicaffe.ops.bias import Bias
from minicaffe.ops.concat import Concat, Slice
from minicaffe.ops.conv import Conv
from minicaffe.ops.eltwise import Eltwise
from minicaffe.ops.inner_product import InnerProduct
from minicaffe.ops.layout import Add, Copy
from minicaffe.ops.lrn import Lrn
from minicaffe.ops.lstm import Lstm
from minicaffe.ops.pool import Pool
from minicaffe.ops.prelu import PReLU
from minicaffe.ops.recurrent import RecurrentInputs
from minicaffe.ops.rnn import Rnn
from minicaffe.ops.update import StepSize, SumOfSquares, Update, UpdateOperands
from tolerances import BY_DTYPE, assert_close

ALLOWED = BY_DTYPE["float32"]


def agree(onednn, body):
    """Compare the tensors that `body(make, backend)` returns on oneDNN and on the reference."""
    results = []
    for backend in (onednn, ReferenceBackend(np.float64)):
        rng = np.random.default_rng(1701)

        def make(*shape, zero=False, backend=backend, rng=rng):
            tensor = backend.tensor(shape)
            if not zero:
                tensor.set(rng.standard_normal(shape))
            return tensor

        results.append([t.get() for t in body(make, backend)])
    for i, (got, want) in enumerate(zip(*results, strict=True)):
        assert_close(got, want, ALLOWED, f"result {i}")


def pack(make, backend, tensor):
    """Return the tensor, with random values, in the layout that a convolution chooses."""
    n, channels, *image = tensor.shape
    w = make(channels, 3, 1, 1)
    x = make(n, 3, *image)
    op = Conv((1, 1), (1, 1), (0, 0), (1, 1), bias=False)
    backend.plan(op, x, w, tensor).forward(x, w, None, tensor)
    return tensor


CONVOLUTIONS = {
    "plain": ((2, 3, 11, 7), 5, Conv((3, 3), (1, 1), (1, 1), (1, 1))),
    "groups": ((2, 6, 11, 7), 9, Conv((3, 2), (2, 3), (1, 0), (1, 2), group=3)),
    "blocked groups": ((3, 16, 14, 15), 32, Conv((5, 5), (2, 2), (2, 2), (1, 1), group=2)),
    "columns": ((2, 20, 9, 8), 10, Conv((5, 5), (1, 1), (0, 0), (1, 1))),
    "skipped pixels": ((2, 32, 9, 14), 48, Conv((1, 1), (2, 3), (0, 0), (1, 1))),
    "one axis": ((3, 5, 13), 7, Conv((3,), (2,), (1,), (1,), bias=False)),
    "three axes": ((3, 5, 5, 6, 7), 7, Conv((3, 2, 1), (2, 1, 1), (1, 0, 0), (1, 1, 1))),
    "depthwise": ((2, 4, 9, 9), 4, Conv((4, 4), (2, 2), (1, 1), (1, 1), group=4)),
}


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(onednn, name, transposed):
    shape, filters, plain = CONVOLUTIONS[name]
    op = Conv(**{**vars(plain), "transposed": transposed})
    spans = list(zip(shape[2:], op.kernel, op.stride, op.pad, op.dilation, strict=True))
    if transposed:
        image = [s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, k, s, p, d in spans]
        w_shape = (shape[1], filters // op.group, *op.kernel)
    else:
        image = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in spans]
        w_shape = (filters, shape[1] // op.group, *op.kernel)

    def body(make, backend):
        x, w, b = make(*shape), make(*w_shape), make(filters) if op.bias else None
        y, dy = make(shape[0], filters, *image, zero=True), make(shape[0], filters, *image)
        dx = make(*shape, zero=True)
        dw, db = make(*w_shape, zero=True), make(filters, zero=True) if op.bias else None
        kernel = backend.plan(op, x, w, y, *([b] if op.bias else []))
        kernel.forward(x, w, b, y)
        kernel.backward_data(dy, w, dx)
        # Twice into the same gradients: the first pass overwrites, the second accumulates.
        for _ in range(2):
            kernel.backward_weights(x, dy, dw, db)
        kernel.backward_weights(x, dy, dw, None)
        kernel.backward_weights(x, dy, None, db)
        return [t for t in (y, dx, dw, db) if t is not None]

    agree(onednn, body)


def test_four_spatial_axes_fall_back_to_the_reference(onednn, caplog_minicaffe, caplog):
    ones = (1, 1, 1, 1)
    op = Conv(ones, ones, (0, 0, 0, 0), ones, bias=False)
    tensors = [onednn.tensor(s) for s in ((1, 2, *ones), (3, 2, *ones), (1, 3, *ones))]
    for _ in range(2):
        onednn.plan(op, *tensors)
    assert (
        caplog.messages.count(
            "oneDNN has no convolution over 4 spatial axes; using the reference kernel"
        )
        <= 1
    )
    with pytest.raises(Unsupported, match="strict-backend refuses"):
        type(onednn)(strict=True).plan(op, *tensors)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mode", ["max", "ave"])
@pytest.mark.parametrize("pad", [0, 1])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1), (3, 3), (5, 3)])
def test_pooling(onednn, mode, pad, kernel, stride, packed):
    rows, columns = 11, 8

    def size(n):
        room = n + 2 * pad - kernel
        out = -(-room // stride) + 1
        return out - 1 if pad and (out - 1) * stride >= n + pad else out

    op = Pool(mode, (kernel,) * 2, (stride,) * 2, (pad,) * 2, (size(rows), size(columns)))

    def body(make, backend):
        x = make(2, 5, rows, columns)
        if packed:
            x = pack(make, backend, x)
        y, dx = make(2, 5, *op.out, zero=True), make(2, 5, rows, columns, zero=True)
        dy = make(2, 5, *op.out)
        k = backend.plan(op, x, y)
        k.forward(x, y)
        k.backward(dy, dx)
        return y, dx

    agree(onednn, body)


@pytest.fixture
def primitives(monkeypatch):
    """Return a list of the primitives that are created from now on."""
    created, create = [], Primitive.__init__

    def record(self, *arguments, **options):
        create(self, *arguments, **options)
        created.append(self)

    monkeypatch.setattr(Primitive, "__init__", record)
    return created


def test_bias_of_packed_channels_uses_compiled_code(onednn, primitives):
    def body(make, backend):
        x, dy = (pack(make, backend, make(2, 5, 4, 3)) for _ in range(2))
        b, db, y = make(5), make(5, zero=True), make(2, 5, 4, 3)
        primitives.clear()
        k = backend.plan(Bias(1), x, b, y)
        k.forward(x, b, y)
        k.forward(x, b, x)
        for _ in range(2):
            k.backward_weights(dy, db)
        assert all(primitive.is_compiled for primitive in primitives)
        return x, y, db

    agree(onednn, body)


@pytest.mark.parametrize("slopes", [(), (5,)])
def test_prelu_of_packed_channels_uses_compiled_code(onednn, primitives, slopes):
    def body(make, backend):
        x, dy = (pack(make, backend, make(2, 5, 4, 3)) for _ in range(2))
        a, da, y, dx = make(*slopes), make(*slopes, zero=True), make(*x.shape), make(*x.shape)
        primitives.clear()
        k = backend.plan(PReLU(), x, a, y)
        k.forward(x, a, y)
        for _ in range(2):
            k.backward_weights(x, dy, da)
        k.backward_data(x, a, dy, dx)
        assert all(primitive.is_compiled for primitive in primitives)
        return y, dx, da

    agree(onednn, body)


@pytest.mark.parametrize("transpose", [False, True])
def test_inner_product(onednn, transpose):
    def body(make, backend):
        op = InnerProduct(1, transpose, bias=True)
        w_shape = (45, 7) if transpose else (7, 45)
        x, w, b, y = pack(make, backend, make(4, 5, 3, 3)), make(*w_shape), make(7), make(4, 7)
        dx, dw, db, dy = make(4, 5, 3, 3), make(*w_shape, zero=True), make(7, zero=True), make(4, 7)
        k = backend.plan(op, x, w, y, b)
        k.forward(x, w, b, y)
        k.backward_data(dy, w, dx)
        for _ in range(2):
            k.backward_weights(x, dy, dw, db)
        return y, dx, dw, db

    agree(onednn, body)


@pytest.mark.parametrize("channels", [(8, 16, 8), (5, 16, 3), (16, 5)])
def test_concat_of_packed_parts(onednn, channels):
    def body(make, backend):
        xs = [pack(make, backend, make(2, c, 4, 3)) for c in channels]
        y, dxs = make(2, sum(channels), 4, 3), [make(*x.shape) for x in xs]
        k = backend.plan(Concat(1), y, *xs)
        k.forward(xs, y)
        k.backward(y, dxs)
        first = make(*xs[0].shape)
        k.backward(y, [first, *[None] * (len(xs) - 1)])
        return y, *dxs, first

    agree(onednn, body)


@pytest.mark.parametrize("channels", [(8, 16, 8), (5, 16, 3), (16, 5)])
def test_slice_of_a_packed_tensor(onednn, channels):
    def body(make, backend):
        x = pack(make, backend, make(2, sum(channels), 4, 3))
        ys, dx = [make(2, c, 4, 3) for c in channels], make(*x.shape)
        k = backend.plan(Slice(1), x, *ys)
        k.forward(x, ys)
        k.backward([pack(make, backend, make(*y.shape)) for y in ys], dx)
        samples = [make(1, sum(channels), 4, 3) for _ in range(2)]
        backend.plan(Slice(0), x, *samples).forward(x, samples)
        return *ys, dx, *samples

    agree(onednn, body)


def test_gradients_of_skipped_pixels_stay_packed(onednn):
    """The library would choose channels last, and every gradient would be converted."""
    if not block_size(onednn, 48):
        pytest.skip("convolutions choose C order with this instruction set")
    x, w = onednn.tensor((2, 32, 9, 14)), onednn.tensor((48, 32, 1, 1))
    y, dx = onednn.tensor((2, 48, 5, 7)), onednn.tensor(x.shape)
    kernel = onednn.plan(Conv((1, 1), (2, 2), (0, 0), (1, 1), bias=False), x, w, y)
    kernel.forward(x, w, None, y)
    kernel.backward_data(y, w, dx)
    assert has_blocks(dx.layout, dx.layout.offset((0, 0, 0, 1)))


def block_size(onednn, channels):
    """Return how many channels are adjacent in the layout that convolutions choose; 0 for C order.

    It depends on the instruction set; with 1x1 images a convolution may have the channels last.
    """
    shape = (2, channels, 4, 3)
    x = pack(lambda *s: onednn.tensor(s), onednn, onednn.tensor(shape))
    if x.layout.is_plain:
        return 0
    # The offset from one column to the next is the number of channels between them.
    return x.layout.offset((0, 0, 0, 1))


def test_slices_of_whole_blocks_stay_packed(onednn):
    block = block_size(onednn, 48)
    if not block:
        pytest.skip("convolutions choose C order with this instruction set")
    x, ys = onednn.tensor((2, 3 * block, 4, 3)), [onednn.tensor((2, block, 4, 3)) for _ in range(3)]
    pack(lambda *shape: onednn.tensor(shape), onednn, x)
    onednn.plan(Slice(1), x, *ys).forward(x, ys)
    assert not x.layout.is_plain
    (layout,) = {y.layout for y in ys}
    assert not layout.is_plain
    assert layout.size_bytes == 2 * block * 4 * 3 * 4


def test_the_last_slice_may_end_within_a_block(onednn):
    block = block_size(onednn, 48)
    channels = (2 * block, block + 4) if block else (32, 20)

    def body(make, backend):
        x = pack(make, backend, make(2, sum(channels), 4, 3))
        ys = [make(2, c, 4, 3) for c in channels]
        backend.plan(Slice(1), x, *ys).forward(x, ys)
        return ys

    agree(onednn, body)


def test_slices_of_half_blocks_are_plain(onednn):
    block = block_size(onednn, 48)
    if block in (0, 48):
        pytest.skip("convolutions choose no blocks of channels with this instruction set")
    x, ys = onednn.tensor((2, 48, 4, 3)), [onednn.tensor((2, block // 2, 4, 3)) for _ in range(2)]
    ys.append(onednn.tensor((2, 48 - block, 4, 3)))
    pack(lambda *shape: onednn.tensor(shape), onednn, x)
    onednn.plan(Slice(1), x, *ys).forward(x, ys)
    assert all(y.layout.is_plain for y in ys)


def test_sums_mix_layouts(onednn):
    def body(make, backend):
        shape = (2, 5, 4, 3)
        xs = [pack(make, backend, make(*shape)), make(*shape), pack(make, backend, make(*shape))]
        y, total, copy = make(*shape), make(*shape), make(*shape)
        k = backend.plan(Eltwise("sum", (1.0, -2.0, 0.5)), *xs, y)
        k.forward(xs, y)
        dxs = [make(*shape) for _ in xs]
        k.backward(xs, y, xs[0], dxs)
        backend.plan(Add(), *xs, total).forward(xs, total)
        backend.plan(Copy(), xs[0], copy).forward(xs[0], copy)
        return y, *dxs, total, copy

    agree(onednn, body)


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize(
    "op", [Eltwise("prod"), Eltwise("prod", stable=False), Eltwise("max")], ids=str
)
def test_products_and_maxima_mix_layouts(onednn, op, n):
    def body(make, backend):
        shape = (2, 5, 4, 3)
        xs = [make(*shape), *(pack(make, backend, make(*shape)) for _ in range(n - 1))][::-1]
        y, dy, dxs = make(*shape), pack(make, backend, make(*shape)), [make(*shape) for _ in xs]
        k = backend.plan(op, *xs, y)
        k.forward(xs, y)
        k.backward(xs, y, dy, dxs)
        last = make(*shape)
        k.backward(xs, y, dy, [*[None] * (n - 1), last])
        return y, *dxs, last

    agree(onednn, body)


@pytest.mark.parametrize("op", [Eltwise("max"), Power(3.0)], ids=str)
def test_formulas_are_applied_to_every_chunk(onednn, monkeypatch, op):
    monkeypatch.setattr("minicaffe.backends.onednn.kernels._pointwise.CHUNK", 7)

    def body(make, backend):
        n = 3 if isinstance(op, Eltwise) else 1
        xs, dxs = ([make(5, 10) for _ in range(n)] for _ in range(2))
        y, dy = make(5, 10), make(5, 10)
        k = backend.plan(op, *xs, y)
        if n == 1:
            k.forward(*xs, y)
            k.backward(*xs, y, dy, *dxs)
        else:
            k.forward(xs, y)
            k.backward(xs, y, dy, dxs)
        return y, *dxs

    agree(onednn, body)


@pytest.mark.parametrize("op", [Lstm(static=True), Rnn(static=True)], ids=str)
def test_recurrent_kernels_distribute_streams_to_threads(onednn, monkeypatch, op):
    monkeypatch.setattr("minicaffe.backends.onednn.kernels.lstm.VALUES_PER_THREAD", 8)
    steps, streams, size, inputs, static = 6, 5, 9, 3, 7
    rows, n_states = (4 * size, 2) if isinstance(op, Lstm) else (size, 1)
    shapes = [(rows, inputs), (rows,), (rows, static), (rows, size)]
    if n_states == 1:
        shapes += [(size, size), (size,)]

    def body(make, backend):
        x, cont = make(steps, streams, inputs), make(steps, streams)
        y, dy = make(steps, streams, size), make(steps, streams, size)
        cont.set(np.arange(steps * streams).reshape(steps, streams) % 3 > 0)
        params, states = [make(*s) for s in shapes], [make(streams, size) for _ in range(n_states)]
        end, dend = ([make(streams, size) for _ in range(n_states)] for _ in range(2))
        given = RecurrentInputs(x, make(streams, static), states, params)
        wanted = RecurrentInputs(
            make(*x.shape),
            make(streams, static),
            [make(streams, size) for _ in range(n_states)],
            [make(*s, zero=True) for s in shapes],
        )
        k = backend.plan(op, x, cont, y, *params)
        k.forward(given, cont, y, end)
        for _ in range(2):
            k.backward(given, dy, dend, wanted)
        return y, *end, wanted.x, wanted.static, *wanted.start, *wanted.params

    agree(onednn, body)


FUNCTIONS = [
    Relu(-0.5),
    Elu(0.7),
    Sigmoid(),
    Exp(scale=0.5, shift=-1.0),
    Bnll(),
    Abs(),
    Clip(0.5, 0.75),
    Power(1.0, scale=-2.0, shift=0.5),
    Power(2.0, shift=0.5),
    Power(3.0, scale=0.5),
    Swish(1.75),
    Threshold(-0.25),
]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("op", FUNCTIONS, ids=str)
def test_functions_leave_padding_zero(onednn, op, in_place):
    """A function that maps zero to another value must not change the padding of a layout."""

    def body(make, backend):
        x, dy, dx = (pack(make, backend, make(2, 5, 4, 3)) for _ in range(3))
        y = x if in_place else make(2, 5, 4, 3)
        k = backend.plan(op, x, y)
        k.forward(x, y)
        w, after = make(4, 5, 3, 3), make(2, 4, 4, 3)
        conv = Conv((3, 3), (1, 1), (1, 1), (1, 1), bias=False)
        backend.plan(conv, y, w, after).forward(y, w, None, after)
        if not isinstance(op, Threshold):
            k.backward(x, y, dy, dx)
        return y, after, dx

    agree(onednn, body)


RULES = {
    "sgd": (1, Update("sgd", momentum=0.9)),
    "sgd L1": (1, Update("sgd", "L1", momentum=0.9)),
    "nesterov": (1, Update("nesterov", momentum=0.9)),
    "adagrad": (1, Update("adagrad", delta=1e-6)),
    "rmsprop": (1, Update("rmsprop", decay2=0.9, delta=1e-6)),
    "adadelta": (2, Update("adadelta", momentum=0.95, delta=1e-6)),
    "adam": (2, Update("adam", momentum=0.9, decay2=0.999, delta=1e-8)),
    "adamw": (2, Update("adamw", momentum=0.9, decay2=0.999, delta=1e-8)),
    "adamw L1": (2, Update("adamw", "L1", momentum=0.9, decay2=0.999, delta=1e-8)),
}


@pytest.mark.parametrize("host", [False, True])
@pytest.mark.parametrize("shape", [(7, 5, 3, 3), (3, 100_003)])
@pytest.mark.parametrize("name", RULES)
def test_update(onednn, name, shape, host):
    n_history, op = RULES[name]

    def body(make, backend):
        w = make(*shape)
        dw = pack(make, backend, make(*shape)) if len(shape) == 4 else make(*shape)
        history = [make(*shape, zero=True) for _ in range(n_history)]
        if host:
            w.host()
        k, non_finite = backend.plan(op, w, dw, *history), backend.tensor(())
        scales = iter((1.0, 0.5))
        for _ in range(2):
            k.step(
                [UpdateOperands(w, dw, history)],
                lambda: StepSize(0.01, 0.0005, next(scales)),
                non_finite,
            )
        return w, dw, *history

    agree(onednn, body)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_update_of_many_parameters(onednn, threads, monkeypatch):
    """Chunks of large and small parameters are updated once each, with their own rates."""
    monkeypatch.setattr(onednn, "threads", threads)
    shapes = [(5,), (2, 140_000), (7, 3), (1,), (131_072,), (300,)]

    def body(make, backend):
        parameters = [
            UpdateOperands(make(*shape), make(*shape), [make(*shape, zero=True)], 1 + k, k % 2)
            for k, shape in enumerate(shapes)
        ]
        k = backend.plan(RULES["sgd"][1], *(t for p in parameters for t in (p.w, p.dw, *p.history)))
        non_finite = make(zero=True)
        k.step(parameters, lambda: StepSize(0.01, 0.0005, 0.5), non_finite)
        return [tensor for p in parameters for tensor in (p.w, p.dw)]

    agree(onednn, body)


def test_sum_of_squares_ignores_padding(onednn, pack_channels):
    x = pack_channels(np.full((3, 5, 4, 4), 0.5))
    assert onednn.plan(SumOfSquares(), x, x).forward([x, x]) == pytest.approx(2 * 240 * 0.25)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "op",
    [
        Lrn("across", 5, 0.3, 0.75, 1.0),
        Lrn("across", 3, 0.3, 0.6, 2.0),
        Lrn("within", 3, 0.3, 0.75, 1.0),
        Lrn("within", 7, 0.3, 0.75, 1.0),
    ],
    ids=str,
)
def test_lrn(onednn, op, packed):
    def body(make, backend):
        x, y, dy, dx = (make(3, 16, 5, 4) for _ in range(4))
        if packed:
            pack(make, backend, x)
            pack(make, backend, dy)
        k = backend.plan(op, x, y)
        k.forward(x, y)
        k.backward(x, dy, dx)
        return y, dx

    agree(onednn, body)
