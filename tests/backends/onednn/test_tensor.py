"""Tensors preserve their values in all layouts."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.runtime.library import Prop, Query
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive

SHAPE = (2, 16, 5, 3)


@pytest.fixture
def values():
    return np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


@pytest.fixture(scope="module")
def packed(onednn):
    """Return a layout with blocks of channels."""
    wide, filters = AnyLayout(SHAPE), AnyLayout((16, 16, 3, 3))
    ones = (1, 1)
    primitive = Primitive(
        onednn.engine,
        "convolution_forward",
        *(Prop.TRAINING, 1, wide, filters, None, wide, ones, (0, 0), ones, ones),
    )
    layout = primitive.layout(Query.DST, SHAPE)
    assert not layout.is_plain
    return layout


def test_equal_layouts_are_one_object(packed):
    assert Layout.of(packed.handle, SHAPE) is packed
    assert Layout.plain(SHAPE) is Layout.plain(SHAPE)


def test_packing_preserves_values(onednn, packed, values):
    tensor = onednn.tensor(SHAPE)
    tensor.set(values)
    flat = tensor.values(packed)
    assert not np.array_equal(flat[: values.size], values.ravel())
    np.testing.assert_array_equal(tensor.get(), values)
    tensor.target(packed)
    flat += 1
    np.testing.assert_array_equal(tensor.get(), values + 1)
    np.testing.assert_array_equal(tensor.read(), values + 1)
    assert tensor.layout is packed


def test_second_reader_needs_no_reorder(onednn, packed, values, monkeypatch):
    tensor = onednn.tensor(SHAPE)
    tensor.set(values)
    first = tensor.source(packed)
    monkeypatch.setattr(tensor, "_reorders", None)
    assert tensor.source(packed) == first
    assert tensor.source(Layout.plain(SHAPE))


def test_host_view_is_live_in_both_directions(onednn, packed, values):
    tensor = onednn.tensor(SHAPE)
    tensor.set(values)
    tensor.target(packed)
    tensor.set(values)
    view = tensor.host()
    np.testing.assert_array_equal(view, values)
    view[1, 2] = -7
    assert -7 in tensor.values(packed)
    other = onednn.tensor(SHAPE)
    other.set(values * 3)
    other.values(packed)
    other.target(packed)
    tensor.copy_from(other)
    np.testing.assert_array_equal(view, values * 3)


def test_view_shares_memory(onednn, packed, values):
    tensor = onednn.tensor(SHAPE)
    tensor.set(values)
    tensor.values(packed)
    tensor.target(packed)
    flat = tensor.view((values.size,))
    flat.update()[0] = 42
    assert tensor.get()[0, 0, 0, 0] == 42
    tensor.update()[...] = 1
    assert (flat.get() == 1).all()


def test_clear_zeroes_all_layouts(onednn, packed, values):
    tensor = onednn.tensor(SHAPE)
    assert tensor.is_zero
    assert not tensor.get().any()
    tensor.set(values)
    tensor.values(packed)
    tensor.clear()
    assert tensor.is_zero
    assert not tensor.values(packed).any()
    assert not tensor.get().any()


def test_cleared_host_view_is_zero(onednn, values):
    tensor = onednn.tensor(SHAPE)
    tensor.set(values)
    view = tensor.host()
    tensor.clear()
    assert not view.any()


@pytest.mark.parametrize("to", ["zero", "plain", "packed"])
@pytest.mark.parametrize("of", ["plain", "packed"])
def test_add(onednn, packed, values, to, of):
    total, part = onednn.tensor(SHAPE), onednn.tensor(SHAPE)
    part.set(values)
    if to != "zero":
        total.set(values * 2)
    for tensor, state in ((total, to), (part, of)):
        if state == "packed":
            tensor.values(packed)
            tensor.target(packed)
    total.add(part)
    np.testing.assert_array_equal(total.get(), values * (1 if to == "zero" else 3))


def test_reshape_preserves_values_that_fit(onednn, packed, values):
    tensor = onednn.tensor(SHAPE)
    tensor.set(values)
    tensor.values(packed)
    tensor.target(packed)
    tensor.reshape((16, 2, 15))
    np.testing.assert_array_equal(tensor.get().ravel(), values.ravel())
    tensor.reshape((4, 16, 5, 3))
    assert tensor.get().shape == (4, 16, 5, 3)
    tensor.reshape(())
    tensor.set(3.5)
    assert tensor.get() == 3.5


def test_empty_tensor(onednn):
    tensor = onednn.tensor((0, 3))
    assert tensor.get().shape == (0, 3)
    assert tensor.read().shape == (0, 3)


def test_a_tensor_reports_layouts_of_its_own_shape_only(onednn, values):
    tensor = onednn.tensor(SHAPE)
    rows = Layout.plain((SHAPE[0], SHAPE[1] * SHAPE[2] * SHAPE[3]))
    tensor.values_to_write(rows)[...] = values.reshape(-1)
    assert tensor.layout is tensor.stored is Layout.plain(SHAPE)
    assert tensor.flat_layout is rows
    np.testing.assert_array_equal(tensor.get(), values)
