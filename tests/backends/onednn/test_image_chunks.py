"""A packed tensor cut into a few images at a time is the same tensor."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.kernels._image_chunks import Pieces
from minicaffe.errors import Unsupported
from minicaffe.ops.conv import Conv

SHAPE = (7, 5, 4, 3)


@pytest.fixture
def packed(onednn):
    """Packed values; the channels are padded."""
    x, y, w = onednn.tensor(SHAPE), onednn.tensor(SHAPE), onednn.tensor((5, 5, 1, 1))
    x.set(np.arange(np.prod(SHAPE)).reshape(SHAPE))
    w.set(np.eye(5).reshape(w.shape))
    onednn.plan(Conv((1, 1), (1, 1), (0, 0), (1, 1), bias=False), x, w, y).forward(x, w, None, y)
    assert not y.layout.is_plain
    return y


@pytest.mark.parametrize("size", [1, 3, 7, 9])
@pytest.mark.parametrize("pinned", [False, True])
def test_pieces_make_the_whole(onednn, packed, size, pinned):
    values = packed.get()
    other, result = onednn.tensor(SHAPE), onednn.tensor(SHAPE)
    other.set(values * 2)
    if pinned:
        result.host()
    seen = []
    for (x, twice), out in Pieces(onednn, SHAPE, size)((packed, other), result):
        assert x.shape == twice.shape == out.shape
        np.testing.assert_array_equal(twice, 2 * x)
        np.multiply(x, twice, out=out)
        seen.append(len(x))
    assert sum(seen) == SHAPE[0]
    assert max(seen) == min(size, SHAPE[0])
    assert result.is_pinned or result.layout is packed.layout
    np.testing.assert_array_equal(result.get(), 2 * values**2)


def test_plain_tensors_are_not_copied(onednn):
    x, result = onednn.tensor(SHAPE), onednn.tensor(SHAPE)
    x.set(np.ones(SHAPE))
    for (array,), out in Pieces(onednn, SHAPE, 2)((x,), result):
        assert np.shares_memory(array, x.read())
        assert np.shares_memory(out, result.write())
        out[...] = array
    np.testing.assert_array_equal(result.get(), 1)


def test_images_that_are_packed_together_are_plain(onednn, packed, monkeypatch):
    pieces = Pieces(onednn, SHAPE, 2)
    monkeypatch.setattr(type(packed.layout), "place", refuse)
    values = packed.get()
    result = onednn.tensor(SHAPE)
    for (array,), out in pieces((packed,), result):
        out[...] = array
    np.testing.assert_array_equal(result.get(), values)


def refuse(*_):
    raise Unsupported("blocks of images")
