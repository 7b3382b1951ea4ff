"""Layers between products of bfloat16: they read, and write, the type in which values are stored.

Their arithmetic is that of float32, so each result is the rounded result of the same kernel on the
same values stored as float32.
"""

from __future__ import annotations

import numpy as np
import pytest
from test_nets import INPUT, LOSS, conv, layer, run

from minicaffe.backends import get_backend
from minicaffe.backends.onednn.kernels._native_sum import NativeSum
from minicaffe.backends.onednn.runtime.library import TAGS_OF_IMAGES, DataType
from minicaffe.backends.onednn.runtime.memory import Layout, TaggedLayout
from minicaffe.backends.onednn.runtime.rounding import round_to_bfloat16
from minicaffe.ops.activation import Relu
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.conv import Conv
from minicaffe.ops.lrn import Lrn
from minicaffe.ops.pool import Pool
from minicaffe.ops.scale import Scale
from probe import net_from_text
from tolerances import BFLOAT16, assert_close

SHAPE = (3, 32, 5, 7)
LARGE = (2, 64, 129, 130)  # streamed past the caches
TYPES = (DataType.F32, DataType.BF16)


@pytest.fixture(scope="module")
def backend():
    """Return a backend with C kernels for bfloat16; skip on a CPU without it."""
    if get_backend("onednn").name != "onednn":
        pytest.skip("oneDNN does not load")
    backend = get_backend("onednn", threads=2, precision="bf16")
    if backend.native is None or backend.native.instruction_set != "avx512_bf16":
        pytest.skip("this CPU has no bfloat16")
    return backend


def images(shape, data_type):
    """Return the layout in blocks of channels."""
    tagged = TaggedLayout(shape, TAGS_OF_IMAGES[16], data_type)
    return Layout.of(tagged.handle, shape)


def stored(backend, values, data_type):
    """Return a tensor that holds values of bfloat16 in blocks of channels."""
    plain, tensor = backend.tensor(values.shape), backend.tensor(values.shape)
    plain.set(round_to_bfloat16(values))
    layout = images(values.shape, data_type)
    backend.reorders(layout, plain.source(layout), layout, tensor.target(layout))
    assert tensor.stored is layout
    return tensor


def assert_rounded(results):
    """Compare tensors of bfloat16 with the same ones of float32, and arrays of sums."""
    for wide, narrow in zip(results[DataType.F32], results[DataType.BF16], strict=True):
        if isinstance(wide, np.ndarray):
            np.testing.assert_array_equal(narrow, wide)
            continue
        assert (wide.stored.data_type, narrow.stored.data_type) == TYPES
        np.testing.assert_array_equal(narrow.get(), round_to_bfloat16(wide.get()))


@pytest.mark.parametrize("fused", ["nothing", "Scale", "Scale and ReLU"])
@pytest.mark.parametrize("shape", [SHAPE, LARGE])
@pytest.mark.parametrize("in_place", [False, True])
def test_batch_norm(backend, fused, shape, in_place):
    results = {}
    for data_type in TYPES:
        rng = np.random.default_rng(4)
        x = stored(backend, rng.standard_normal(shape, np.float32) + 3, data_type)
        dy = stored(backend, rng.standard_normal(shape, np.float32), data_type)
        numbers = [backend.tensor((shape[1],)) for _ in range(6)]
        mean, variance, s, b, ds, db = numbers
        weight = backend.tensor((1,))
        for tensor in (s, b):
            tensor.set(rng.standard_normal(shape[1]))
        y, dx = (x, dy) if in_place else (backend.tensor(shape), backend.tensor(shape))
        kernel = backend.plan(
            BatchNorm(use_stored=False, fraction=0.9, eps=1e-5), x, mean, variance, weight, y
        )
        scale = EpilogueOp(
            Scale(1, True), lambda s=s, b=b: [s, b], gradients=lambda s=ds, b=db: [s, b]
        )
        epilogue = {"nothing": [], "Scale": [scale]}.get(fused, [scale, EpilogueOp(Relu(), list)])
        assert backend.fuse(kernel, epilogue) == len(epilogue)
        with backend.lock:
            kernel.forward(x, mean, variance, weight, y)
            kernel.backward(dy, dx)
        results[data_type] = [y, dx, dy, *(t.get() for t in (mean, variance, ds, db))]
    assert_rounded(results)


@pytest.mark.parametrize("shape", [SHAPE, LARGE])
@pytest.mark.parametrize("n_terms", [1, 2, 3, 4])
@pytest.mark.parametrize("rectifies", [False, True])
def test_sum(backend, shape, n_terms, rectifies):
    results = {}
    for data_type in TYPES:
        rng = np.random.default_rng(n_terms)
        terms = [
            stored(backend, rng.standard_normal(shape, np.float32), data_type)
            for _ in range(n_terms)
        ]
        y, dx, total = (backend.tensor(shape) for _ in range(3))
        kernel = NativeSum(backend, backend.native)
        kernel.add(terms, y, rectifies=rectifies)
        total.defer(terms, kernel.add)
        kernel.backward_relu(terms[0], total, dx)
        results[data_type] = [y, dx]
        kernel.add(terms, terms[-1])
        results[data_type].append(terms[-1])
    assert_rounded(results)


def test_sum_with_float32_is_float32(backend):
    values = np.random.default_rng(2).standard_normal((2, *SHAPE), np.float32)
    terms = [stored(backend, v, t) for v, t in zip(values, TYPES[::-1], strict=True)]
    y = backend.tensor(SHAPE)
    NativeSum(backend, backend.native).add(terms, y)
    assert y.stored.data_type is DataType.F32
    np.testing.assert_array_equal(y.get(), sum(map(round_to_bfloat16, values)))


@pytest.mark.parametrize("beta", [0.75, 1.3])
def test_local_response_normalisation(backend, beta):
    results = {}
    for data_type in TYPES:
        x, dy = (
            stored(backend, np.random.default_rng(i).standard_normal(SHAPE, np.float32), data_type)
            for i in (5, 6)
        )
        y, dx = backend.tensor(SHAPE), backend.tensor(SHAPE)
        kernel = backend.plan(Lrn("across", 5, 0.1, beta, 1.0), x, y)
        kernel.forward(x, y)
        kernel.backward(x, dy, dx)
        results[data_type] = [y, dx]
    assert_rounded(results)


@pytest.mark.parametrize("pad", [0, 1])
def test_average_of_bfloat16_is_float32_and_its_gradient_bfloat16(backend, pad):
    op = Pool("ave", (3, 3), (2, 2), (pad, pad), (2 + pad, 3 + pad))
    y_shape = (*SHAPE[:2], *op.out)
    dy_values = np.random.default_rng(8).standard_normal(y_shape, np.float32)
    results = {}
    for data_type in TYPES:
        values = np.random.default_rng(7).standard_normal(SHAPE, np.float32)
        x, dy = stored(backend, values, data_type), stored(backend, dy_values, data_type)
        y, dx = backend.tensor(y_shape), backend.tensor(SHAPE)
        kernel = backend.plan(op, x, y)
        kernel.forward(x, y)
        kernel.backward(dy, dx)
        assert y.stored.data_type is DataType.F32
        assert dx.stored.data_type is data_type
        results[data_type] = y.get(), dx.get()
    np.testing.assert_array_equal(results[TYPES[1]][0], results[TYPES[0]][0])
    assert_close(results[TYPES[1]][1], results[TYPES[0]][1], BFLOAT16, "dx")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_propagate(backend, number):
    results = {}
    for data_type in TYPES:
        values = np.random.default_rng(3).standard_normal(SHAPE, np.float32)
        values[1, 17, 2, 3] = number
        x, y, z = stored(backend, values, data_type), backend.tensor(SHAPE), backend.tensor(SHAPE)
        numbers = [backend.tensor((SHAPE[1],)) for _ in range(2)]
        kernel = backend.plan(
            BatchNorm(use_stored=False, fraction=0.9, eps=1e-5),
            x,
            *numbers,
            backend.tensor((1,)),
            y,
        )
        kernel.forward(x, *numbers, backend.tensor((1,)), y)
        NativeSum(backend, backend.native).add([x, x], z, rectifies=True)
        results[data_type] = [y, z]
        assert np.isnan(y.get()[:, 17]).all()
        assert np.isfinite(np.delete(y.get(), 17, 1)).all()
    assert_rounded(results)


NET = (
    conv("c1", "data", 32)
    + layer("bn1", "BatchNorm", "c1", "bn1")
    + layer("s1", "Scale", "bn1", "bn1", "scale_param { bias_term: true }")
    + layer("r1", "ReLU", "bn1", "bn1")
    + conv("c2", "bn1", 32)
    + layer("bn2", "BatchNorm", "c2", "c2")
    + layer("sum", "Eltwise", "bn1 c2", "sum")
    + layer("r2", "ReLU", "sum", "sum")
    + layer("pool", "Pooling", "sum", "pool", "pooling_param { kernel_size: 3 stride: 2 }")
    + conv("c3", "pool", 32)
    + layer("join", "Eltwise", "pool c3", "join")
    + conv("last", "join", 16)
)


def test_residual_net_stays_in_bfloat16(backend):
    net = net_from_text(INPUT + NET + LOSS, backend=backend)
    run(net, 1)
    for name in ("c1", "bn1", "c2", "sum", "pool", "c3", "join", "last"):
        assert net.blobs[name].data.stored.data_type is DataType.BF16, name
    for name in ("c1", "bn1", "c2", "sum", "pool", "c3", "join"):
        assert net.blobs[name].diff.stored.data_type is DataType.BF16, name
    for parameter in net.parameters:
        assert parameter.blob.data.stored.data_type is DataType.F32
        assert parameter.blob.diff.stored.data_type is DataType.F32


def test_gradient_of_strided_depthwise_filters_is_near_that_of_float32(backend):
    """It is computed in float32, because the library's code for bfloat16 is slow."""
    op = Conv((3, 3), (2, 2), (1, 1), (1, 1), group=32, bias=False)
    shapes = ((2, 32, 11, 14), (32, 1, 3, 3), (2, 32, 6, 7))
    results = []
    for precision in ("fp32", "bf16"):
        other = get_backend("onednn", threads=2, precision=precision)
        rng = np.random.default_rng(6)
        x, w, dy = (other.tensor(shape) for shape in shapes)
        for tensor in (x, w, dy):
            tensor.set(round_to_bfloat16(rng.standard_normal(tensor.shape, np.float32)))
        dx = other.tensor(x.shape)
        other.plan(op, x, w, dy).backward_data(dy, w, dx)
        results.append(dx.get())
    np.testing.assert_array_equal(*results)
