"""Local response normalisation in C in blocked layouts: the values of the reference, and NaN."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.kernels._blocked_lrn import plan_blocked_lrn
from minicaffe.backends.onednn.runtime.library import Alg, Prop, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.lrn import Lrn
from tolerances import BY_DTYPE, assert_close

# One block and several, pixels that are no whole group, one image.
SHAPES = [(3, 32, 5, 7), (2, 96, 3, 3), (1, 32, 2, 1)]
SETTINGS = {
    "alexnet": Lrn("across", 5, 1e-1, 0.75, 1.0),
    "one": Lrn("across", 1, 2.0, 0.75, 2.0),
    "wide": Lrn("across", 33, 3.0, 0.5, 1.5),
    "power": Lrn("across", 3, 0.5, 1.3, 1.0),
}


def blocked_layout(backend, shape):
    """Return the layout that a 3 x 3 convolution chooses for its input."""
    n, c, height, width = shape
    images = AnyLayout((n, c, height + 2, width + 2))
    sizes = ((1, 1), (0, 0), (0, 0), (0, 0))
    layouts = (images, AnyLayout((c, c, 3, 3)), None, AnyLayout(shape))
    primitive = Primitive(
        *(backend.engine, "convolution_forward", Prop.TRAINING, Alg.CONVOLUTION_DIRECT),
        *(*layouts, *sizes),
    )
    return primitive.layout(Query.DST, shape)


def blocked(backend, values, layout):
    """Return a tensor whose newest values are in a layout."""
    plain = backend.tensor(values.shape)
    plain.set(values)
    tensor = backend.tensor(values.shape)
    tensor.values_to_write(layout)[...] = plain.values(layout)
    return tensor


def results(kernel, x, dy, y, dx):
    for tensor in (y, dx):
        tensor.set(np.full(tensor.shape, np.nan))
    with np.errstate(all="ignore"):
        kernel.forward(x, y)
        kernel.backward(x, dy, dx)
    return y.get(), dx.get()


def both(backend, op, x_values, dy_values):
    """Return y and dx of the C kernels and of the reference."""
    shape, layout = x_values.shape, blocked_layout(backend, x_values.shape)
    assert plan_blocked_lrn(backend, op, layout) is not None
    x, dy = (blocked(backend, values, layout) for values in (x_values, dy_values))
    y, dx = backend.tensor(shape), backend.tensor(shape)
    found = results(backend.plan(op, x, y), x, dy, y, dx)
    reference = ReferenceBackend()
    x, dy, y, dx = (reference.tensor(shape) for _ in range(4))
    x.set(x_values)
    dy.set(dy_values)
    return found, results(reference.plan(op, x, y), x, dy, y, dx)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SETTINGS)
def test_equals_the_reference(backend, shape, name):
    rng = np.random.default_rng(4)
    x, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    found, expected = both(backend, SETTINGS[name], x, dy)
    for got, want, what in zip(found, expected, ("y", "dx"), strict=True):
        assert_close(got, want, BY_DTYPE["float32"], what)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_where_the_reference_has_them(backend, number):
    rng = np.random.default_rng(5)
    x, dy = (rng.standard_normal((2, 32, 3, 3)).astype(np.float32) for _ in range(2))
    x[1, 16, 1, 1] = number
    found, expected = both(backend, SETTINGS["alexnet"], x, dy)
    for got, want in zip(found, expected, strict=True):
        assert not np.isfinite(want).all()
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_array_equal(np.isinf(got), np.isinf(want))


def test_other_windows_and_layouts_are_not_chosen(backend):
    layout = blocked_layout(backend, (1, 32, 4, 4))
    assert plan_blocked_lrn(backend, Lrn("within", 3, 1.0, 0.75, 1.0), layout) is None
    assert plan_blocked_lrn(backend, Lrn("across", 35, 1.0, 0.75, 1.0), layout) is None
    op = SETTINGS["alexnet"]
    assert plan_blocked_lrn(backend, op, Layout.plain((1, 32, 4, 4))) is None
    assert plan_blocked_lrn(backend, op, blocked_layout(backend, (1, 1040, 2, 2))) is None
