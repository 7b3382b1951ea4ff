"""Max pooling of blocked images in C: the reference's values, masks and gradients."""

from __future__ import annotations

import numpy as np
import pytest
from pooling_results import results

from minicaffe.backends.onednn.kernels import _blocked_pool
from minicaffe.backends.onednn.kernels._blocked_pool import BlockedPool
from minicaffe.backends.onednn.runtime.library import TAGS_OF_IMAGES
from minicaffe.backends.onednn.runtime.memory import Layout, TaggedLayout
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.pool import Pool

# Rows and columns, window, stride, padding, size of y: windows inside the image, over the border on
# one side and on both, beyond the last row, of the unrolled sizes and others.
CASES = [
    ((13, 9), (3, 3), (2, 2), (0, 0), (6, 4)),
    ((12, 10), (3, 3), (2, 2), (0, 0), (6, 5)),
    ((9, 7), (3, 3), (2, 3), (1, 2), (5, 3)),
    ((6, 14), (2, 2), (2, 2), (0, 0), (3, 7)),
    ((11, 8), (5, 2), (3, 2), (2, 0), (4, 4)),
    ((2, 2), (3, 3), (2, 2), (1, 1), (2, 2)),
]


def blocked(backend, values):
    """Return a tensor with these values in blocks of as many channels as lanes."""
    tagged = TaggedLayout(values.shape, TAGS_OF_IMAGES[backend.native.lanes])
    layout = Layout.of(tagged.handle, values.shape)
    plain, tensor = backend.tensor(values.shape), backend.tensor(values.shape)
    plain.set(values)
    backend.reorders(layout, plain.source(layout), layout, tensor.target(layout))
    return tensor


@pytest.mark.parametrize("values", ["different", "ties", "nan"])
@pytest.mark.parametrize(("image", "window", "stride", "pad", "out"), CASES)
def test_equals_the_reference(backend, monkeypatch, image, window, stride, pad, out, values):
    monkeypatch.setattr(_blocked_pool, "MIN_BYTES", {16: 0, 8: 0})
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, 32, *image)).astype(np.float32)
    if values != "different":
        x = rng.integers(-1, 2, x.shape).astype(np.float32)
    if values == "nan":
        x[rng.random(x.shape) < 0.2] = np.nan
        x[rng.random(x.shape) < 0.1] = np.inf
        if not any(pad):  # the reference compares -infinity with its padding
            x[rng.random(x.shape) < 0.2] = -np.inf
    dy = rng.integers(-9, 10, (3, 32, *out)).astype(np.float32)
    op = Pool("max", window, stride, pad, out)
    found, kernel = results(backend, op, blocked(backend, x), dy)
    assert isinstance(kernel._native(kernel._layout), BlockedPool)
    reference = ReferenceBackend().tensor(x.shape)
    reference.set(x)
    expected, _ = results(ReferenceBackend(), op, reference, dy)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "settings", [{"stride": (1, 1), "out": (6, 6)}, {"mode": "ave"}, {"channels": 20}]
)
def test_others_are_onednns(backend, monkeypatch, settings):
    monkeypatch.setattr(_blocked_pool, "MIN_BYTES", {16: 0, 8: 0})
    settings = dict(settings)
    channels = settings.pop("channels", 32)
    given = {"mode": "max", "kernel": (3, 3), "stride": (2, 2), "pad": (0, 0), "out": (3, 3)}
    op = Pool(**{**given, **settings})
    x = blocked(backend, np.zeros((2, channels, 8, 8), np.float32))
    y = backend.tensor((2, channels, *op.out))
    kernel = backend.plan(op, x, y)
    kernel.forward(x, y)
    assert kernel._native(kernel._layout) is None
