"""Softmax with its loss in C: the reference's loss, probabilities, gradient and errors."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.kernels.softmax import NativeSoftmaxLoss, OneDnnSoftmaxLoss
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import LabelError
from minicaffe.ops.softmax import SoftmaxLoss
from tolerances import BY_DTYPE, assert_close

# Rows and planes of whole and partial vectors; the last is computed by both threads.
SHAPES = [(5, 10), (3, 37), (2, 3, 4, 9), (2, 21, 7, 5), (4, 5, 64, 64)]


def results(backend, op, x_values, label_values):
    """Return loss, probabilities and gradient, which overwrite NaN, and the kernel."""
    shape = x_values.shape
    x, labels, p, loss, dloss, dx = (
        backend.tensor(s) for s in (shape, label_values.shape, shape, (), (), shape)
    )
    x.set(x_values)
    labels.set(label_values)
    dloss.set(0.7)
    for tensor in (p, loss, dx):
        tensor.set(np.full(tensor.shape, np.nan))
    kernel = backend.plan(op, x, labels, p, loss)
    with np.errstate(all="ignore"):
        kernel.forward(x, labels, p, loss)
        kernel.backward(p, labels, dloss, dx)
    return [t.get() for t in (loss, p, dx)], kernel


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("normalization", ["full", "valid", "batch_size", "none", 2.5])
@pytest.mark.parametrize("ignored", [None, 255])
def test_equals_the_reference(backend, shape, normalization, ignored):
    rng = np.random.default_rng(6)
    # Differences of more than 87 give probabilities of 0 in float32.
    x = (rng.standard_normal(shape) * 40).astype(np.float32)
    labels = rng.integers(0, shape[1], (shape[0], *shape[2:])).astype(np.float32)
    if ignored is not None:
        labels[rng.random(labels.shape) < 0.3] = ignored
    op = SoftmaxLoss(1, normalization, ignored)
    found, kernel = results(backend, op, x, labels)
    assert isinstance(kernel, NativeSoftmaxLoss)
    expected, _ = results(ReferenceBackend(), op, x, labels)
    for got, want, what in zip(found, expected, ("loss", "p", "dx"), strict=True):
        assert_close(got, want, BY_DTYPE["float32"], what)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(3, 37), (2, 5, 3, 7)])
def test_pixels_that_are_not_finite_are_nan_as_in_the_reference(backend, number, shape):
    x = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    x[(1, 3, *(1 for _ in shape[2:]))] = number
    labels = np.zeros((shape[0], *shape[2:]), np.float32)
    op = SoftmaxLoss(1, "valid")
    (loss, p, dx), _ = results(backend, op, x, labels)
    (want_loss, want_p, want_dx), _ = results(ReferenceBackend(), op, x, labels)
    np.testing.assert_array_equal(np.isnan(loss), np.isnan(want_loss))
    np.testing.assert_allclose(p, want_p, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(dx, want_dx, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("label", [-1, 10, 3.5, np.nan])
def test_a_label_that_is_no_class_is_an_error(backend, label):
    labels = np.array([1, label, 2], np.float32)
    with pytest.raises(LabelError):
        results(backend, SoftmaxLoss(1, "valid"), np.zeros((3, 10), np.float32), labels)


@pytest.mark.parametrize("settings", [{"smoothing": 0.1}, {"class_weights": (1.0, 2.0)}])
def test_class_weights_and_smoothing_are_computed_by_numpy(backend, settings):
    x, labels = np.zeros((3, 2), np.float32), np.array([0, 1, 1], np.float32)
    _, kernel = results(backend, SoftmaxLoss(1, "valid", **settings), x, labels)
    assert type(kernel) is OneDnnSoftmaxLoss
