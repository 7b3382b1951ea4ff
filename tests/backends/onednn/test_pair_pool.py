"""Max pooling of pairs in C: the reference's values, masks and gradients, with ties and NaN."""

from __future__ import annotations

import numpy as np
import pytest
from pooling_results import results

from minicaffe.backends.onednn import OneDnnBackend
from minicaffe.backends.onednn.kernels._pair_pool import PairPool
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.pool import Pool

# Whole and partial vectors, several parts, the widest row, one window.
SHAPES = [(3, 5, 8, 24), (2, 20, 24, 24), (2, 3, 4, 6), (1, 2, 6, 1024), (1, 1, 2, 2)]


def tensor(backend, values):
    """Return a tensor with these values."""
    found = backend.tensor(values.shape)
    found.set(values)
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("values", ["different", "ties", "nan"])
def test_equals_the_reference_exactly(shape, values):
    onednn = OneDnnBackend(threads=2)
    if onednn.native is None:
        pytest.skip("the C kernels are not compiled")
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape).astype(np.float32)
    if values != "different":
        x = rng.integers(-1, 2, shape).astype(np.float32)
    if values == "nan":
        x[rng.random(shape) < 0.4] = np.nan
        x[rng.random(shape) < 0.2] = -np.inf
    out = (shape[2] // 2, shape[3] // 2)
    op = Pool("max", (2, 2), (2, 2), (0, 0), out)
    dy = rng.standard_normal((*shape[:2], *out)).astype(np.float32)
    found, kernel = results(onednn, op, tensor(onednn, x), dy)
    assert isinstance(kernel._pairs, PairPool)
    reference = ReferenceBackend()
    expected, _ = results(reference, op, tensor(reference, x), dy)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel": (3, 2)},
        {"stride": (2, 1), "out": (4, 7)},
        {"mode": "ave"},
        {"rows": 7},
    ],
)
def test_other_windows_are_onednns(settings):
    onednn = OneDnnBackend(threads=1)
    rows = settings.get("rows", 8)
    settings = {name: value for name, value in settings.items() if name != "rows"}
    given = {"mode": "max", "kernel": (2, 2), "stride": (2, 2), "pad": (0, 0), "out": (4, 4)}
    op = Pool(**{**given, **settings})
    x = np.zeros((1, 1, rows, 8), np.float32)
    y = onednn.tensor((1, 1, *op.out))
    source = onednn.tensor(x.shape)
    kernel = onednn.plan(op, source, y)
    kernel.forward(source, y)
    assert kernel._pairs is None
