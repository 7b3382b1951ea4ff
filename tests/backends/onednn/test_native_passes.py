"""The C kernels, and what computes where they were not compiled, compared with the reference."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.backend import OneDnnBackend
from minicaffe.backends.onednn.runtime.library import Prop, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.activation import Relu
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.eltwise import Eltwise
from minicaffe.ops.inner_product import InnerProduct
from minicaffe.ops.layout import Add
from minicaffe.ops.scale import Scale
from minicaffe.ops.update import StepSize, Update, UpdateOperands
from tolerances import BY_DTYPE, assert_close

ALLOWED = BY_DTYPE["float32"]
RELU = EpilogueOp(Relu(), list)


@pytest.fixture(params=["C kernels", "oneDNN and NumPy"])
def fast(request, onednn, monkeypatch):
    """Return a new oneDNN backend with or without the C kernels."""
    if request.param == "C kernels":
        if onednn.native is None:
            pytest.skip("no C compiler")
    else:
        monkeypatch.setattr("minicaffe.backends.onednn.backend.native_library", lambda: None)
    backend = OneDnnBackend(threads=2)
    assert (backend.native is None) == (request.param != "C kernels")
    return backend


@pytest.mark.parametrize("rectifies", [False, True])
@pytest.mark.parametrize(
    ("m", "n", "k"), [(1, 1, 1), (5, 13, 259), (17, 7, 1030), (49, 29, 515), (65, 3, 40)]
)
def test_inner_product(fast, m, n, k, rectifies):
    rng = np.random.default_rng(m)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (n, k), (n,)))
    tensors = [fast.tensor(values.shape) for values in (x, w, b)]
    for tensor, values in zip(tensors, (x, w, b), strict=True):
        tensor.set(values)
    y = fast.tensor((m, n))
    kernel = fast.plan(InnerProduct(1, False, bias=True), tensors[0], tensors[1], y, tensors[2])
    assert fast.fuse(kernel, [RELU] if rectifies else []) == rectifies
    with fast.lock:
        kernel.forward(*tensors, y)
    want = x.astype(np.float64) @ w.T + b
    assert_close(y.get(), np.maximum(want, 0) if rectifies else want, ALLOWED, "y")


def test_inner_product_with_nan(fast):
    """NaN in a row of the weights changes no other output, and a ReLU keeps it."""
    x, w, y = fast.tensor((3, 21)), fast.tensor((7, 21)), fast.tensor((3, 7))
    x.set(np.ones((3, 21)))
    values = np.ones((7, 21))
    values[2, 0], values[4, 3] = np.nan, np.inf
    w.set(values)
    kernel = fast.plan(InnerProduct(1, False, bias=False), x, w, y)
    fast.fuse(kernel, [RELU])
    with fast.lock:
        kernel.forward(x, w, None, y)
    np.testing.assert_array_equal(y.get(), np.tile([21, 21, np.nan, 21, np.inf, 21, 21], (3, 1)))


@pytest.mark.parametrize("regularization", ["L1", "L2"])
@pytest.mark.parametrize(
    ("rule", "n_history"),
    [
        *(("sgd", 1), ("nesterov", 1), ("adagrad", 1), ("rmsprop", 1)),
        *(("adadelta", 2), ("adam", 2), ("adamw", 2)),
    ],
)
def test_update(fast, rule, n_history, regularization):
    """Large and small parameters, twice, so that the history matters; NaN sets the flag."""
    op = Update(rule, regularization, momentum=0.9, decay2=0.95, delta=1e-3)
    results = []
    for backend in (fast, ReferenceBackend(np.float64)):
        rng = np.random.default_rng(1701)
        groups = []
        for n in (1, 70_001, 37, 40_000):
            w, dw, *history = (backend.tensor((n,)) for _ in range(2 + n_history))
            w.set(rng.standard_normal(n))
            groups.append(UpdateOperands(w, dw, history, 1 + n % 3, n % 2))
        flag = backend.tensor(())
        kernel = backend.plan(op, *(t for g in groups for t in (g.w, g.dw, *g.history)))
        for scale in (0.5, 1.0):
            for group in groups:
                group.dw.clear()
                group.dw.set(rng.standard_normal(group.dw.shape))
            kernel.step(groups, lambda scale=scale: StepSize(0.01, 0.02, scale), flag)
        assert flag.get() == 0
        results.append([t.get() for g in groups for t in (g.w, g.dw, *g.history)])
        groups[1].w.update()[70_000] = np.nan
        kernel.step(groups, lambda: StepSize(0.01), flag)
        assert np.isnan(flag.get())
    for got, want in zip(*results, strict=True):
        assert_close(got, want, ALLOWED, rule)


def pack(backend, tensor):
    """Store the tensor's values in the layout that a convolution chooses."""
    wide, filters = (AnyLayout(s) for s in (tensor.shape, (*[tensor.shape[1]] * 2, 3, 3)))
    arguments = (Prop.TRAINING, 1, wide, filters, None, wide, (1, 1), (0, 0), (1, 1), (1, 1))
    primitive = Primitive(backend.engine, "convolution_forward", *arguments)
    values, layout = tensor.get(), primitive.layout(Query.DST, tensor.shape)
    plain = backend.tensor(tensor.shape)
    plain.set(values)
    plain.source(layout)
    backend.reorders(layout, plain.source(layout), layout, tensor.target(layout))
    if tensor.layout.is_plain:
        pytest.skip("oneDNN computes this shape in C order with this instruction set")


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    ("n_scaling", "rectifies"), [(0, False), (1, False), (1, True), (2, False), (2, True)]
)
@pytest.mark.parametrize(
    ("shape", "is_packed"),
    [((3, 32, 5, 7), True), ((3, 5, 5, 7), False), ((2, 19, 5, 7), True), ((5, 6), False)],
    ids=str,
)
def test_batch_norm(fast, shape, is_packed, n_scaling, rectifies, in_place):
    """Forward, then backward twice: the gradients of s and b are added up."""
    rng, op = np.random.default_rng(1701), BatchNorm(False, 0.9, 1e-2)
    x, dy, dx, s, b, ds, db, *statistics = (
        fast.tensor(n) for n in (shape, shape, shape, *[shape[1:2]] * 6, (1,))
    )
    given = {t: rng.standard_normal(t.shape) for t in (dy, s, b, *statistics)}
    given[x] = rng.standard_normal(shape) + 30
    for tensor, values in given.items():
        tensor.set(values)
    if is_packed:
        pack(fast, x)
        pack(fast, dy)
    y = x if in_place else fast.tensor(shape)
    scaling, gradients = [s, b][:n_scaling], [*[ds, db][:n_scaling], None][:2]
    scale = EpilogueOp(Scale(1, n_scaling == 2), lambda: scaling, True, lambda: gradients)
    ops = [*[scale][:n_scaling], *[RELU] * rectifies]
    with fast.lock:
        kernel = fast.plan(op, x, *statistics, y)
        assert fast.fuse(kernel, ops) == len(ops)
        kernel.forward(x, *statistics, y)
        for _ in range(2):
            gradient = fast.tensor(shape)
            gradient.copy_from(dy)
            dx = gradient if in_place else dx
            kernel.backward(gradient, dx)
    wanted = _batch_norm(op, given[x], given[dy], given[s], given[b], rectifies, n_scaling)
    # Scale works in place on y, so that dy becomes the gradient of its input.
    visible = [gradient] if n_scaling and not in_place else []
    for i, tensor in enumerate((y, dx, ds, db, *visible)):
        assert_close(tensor.get(), wanted[i], ALLOWED, f"result {i}")
    for tensor, want in zip(statistics, wanted[5:], strict=True):
        assert_close(tensor.get(), 0.9 * given[tensor] + want, ALLOWED, "statistics")


def _batch_norm(op, x, dy, s, b, rectifies, n_scaling):
    """Return y, dx, twice ds and db, the gradient before Scale, what is added to the statistics."""
    axes = (0, *range(2, x.ndim))
    m = x.size // x.shape[1]
    s, b, mu, var = (
        values.reshape(1, -1, *(1,) * (x.ndim - 2))
        for values in (
            *(s if n_scaling > 0 else np.ones_like(s), b if n_scaling > 1 else np.zeros_like(b)),
            *(x.mean(axes), x.var(axes)),
        )
    )
    root = 1 / np.sqrt(var + op.eps)
    normal = (x - mu) * root
    y = normal * s + b
    g = dy * (y > 0) if rectifies else dy
    ds, db = (g * normal).sum(axes, keepdims=True), g.sum(axes, keepdims=True)
    dx = s * root * (g - db / m - normal * ds / m)
    sums = 2 * ds.ravel() * (n_scaling > 0), 2 * db.ravel() * (n_scaling > 1)
    return (
        np.maximum(y, 0) if rectifies else y,
        dx,
        *sums,
        g * s,
        mu.ravel(),
        (var * m / (m - 1)).ravel(),
        1,
    )


def test_statistics_of_a_million_values(fast):
    """Sums in single precision would be off by 2e-4."""
    if fast.native is None:
        pytest.skip("this is how accurate the library is")
    shape, op = (2, 16, 512, 1024), BatchNorm(False, 0.9, 1e-5)
    values = np.random.default_rng(5).standard_normal(shape, np.float32) * 3 + 7
    x, y, *statistics = (fast.tensor(s) for s in (shape, shape, (16,), (16,), (1,)))
    x.set(values)
    with fast.lock:
        fast.plan(op, x, *statistics, y).forward(x, *statistics, y)
    m, wide = values[:, 0].size, values.astype(np.float64)
    np.testing.assert_allclose(statistics[0].get(), wide.mean((0, 2, 3)), rtol=1e-6)
    variance = wide.var((0, 2, 3)) * m / (m - 1)
    np.testing.assert_allclose(statistics[1].get(), variance, rtol=1e-5)
    want = (wide[:, 3] - wide[:, 3].mean()) / np.sqrt(wide[:, 3].var() + op.eps)
    np.testing.assert_allclose(y.get()[:, 3], want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_batch_norm_with_relu_shows_nan(fast, bad):
    shape = (2, 32, 5, 3)
    x, s, b, *statistics = (fast.tensor(n) for n in (shape, *[(32,)] * 4, (1,)))
    values = np.random.default_rng(5).standard_normal(shape)
    values[1, 17, 2, 1] = bad
    x.set(values)
    pack(fast, x)
    s.set(np.ones(32))
    y = fast.tensor(shape)
    kernel = fast.plan(BatchNorm(False, 0.9, 1e-5), x, *statistics, y)
    assert fast.fuse(kernel, [EpilogueOp(Scale(1, True), lambda: [s, b]), RELU]) == 2
    with fast.lock:
        kernel.forward(x, *statistics, y)
    is_nan = np.isnan(y.get())
    assert is_nan[:, 17].any()
    assert not np.delete(is_nan, 17, 1).any()


@pytest.mark.parametrize("coefficients", [(1, 1), (1, 1, 1, 1), (1, -2)], ids=str)
@pytest.mark.parametrize("shape", [(2, 19, 5, 7), (3, 32, 5, 7), (8, 32, 65, 67)], ids=str)
def test_sum_with_relu(fast, shape, coefficients):
    """With padding, and so large that it is written past the caches; NaN stays."""
    rng = np.random.default_rng(5)
    values = [rng.standard_normal(shape).astype(np.float32) for _ in coefficients]
    values[0][1, 3, 2, 1] = np.nan
    xs = [fast.tensor(shape) for _ in coefficients]
    for x, numbers in zip(xs, values, strict=True):
        x.set(numbers)
        pack(fast, x)
    y, total = fast.tensor(shape), fast.tensor(shape)
    kernel = fast.plan(Eltwise("sum", tuple(map(float, coefficients))), *xs, y)
    n_fused = fast.fuse(kernel, [RELU])
    assert n_fused == (
        coefficients == (1, 1) or (fast.native is not None and set(coefficients) == {1})
    )
    with fast.lock:
        kernel.forward(xs, y)
        fast.plan(Add(), *xs, total).forward(xs, total)
    want = sum(c * v.astype(np.float64) for c, v in zip(coefficients, values, strict=True))
    for tensor, values_wanted in (
        (y, np.maximum(want, 0) if n_fused else want),
        (total, sum(v.astype(np.float64) for v in values)),
    ):
        got = tensor.get()
        np.testing.assert_array_equal(np.isnan(got), np.isnan(values_wanted))
        assert_close(np.nan_to_num(got), np.nan_to_num(values_wanted), ALLOWED, "sum")
