"""The C kernels, and what computes where they were not compiled, compared with the reference."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.backend import OneDnnBackend
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.activation import Relu
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.inner_product import InnerProduct
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
