"""Chunks of the images of a packed tensor together have the values of the tensor."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.onednn.kernels._image_chunks import ImageChunks
from minicaffe.errors import Unsupported

SHAPE = (7, 5, 4, 3)


@pytest.fixture
def packed(pack_channels):
    """Return packed values whose channels are padded."""
    return pack_channels(np.arange(np.prod(SHAPE)).reshape(SHAPE))


@pytest.mark.parametrize("size", [1, 3, 7, 9])
@pytest.mark.parametrize("pinned", [False, True])
def test_chunks_have_the_values_of_the_whole(onednn, packed, size, pinned):
    values = packed.get()
    other, result = onednn.tensor(SHAPE), onednn.tensor(SHAPE)
    other.set(values * 2)
    if pinned:
        result.host()
    seen = []
    for (x, twice), out in ImageChunks(onednn, SHAPE, size)((packed, other), result):
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
    for (array,), out in ImageChunks(onednn, SHAPE, 2)((x,), result):
        assert np.shares_memory(array, x.read())
        assert np.shares_memory(out, result.write())
        out[...] = array
    np.testing.assert_array_equal(result.get(), 1)


def test_images_in_common_blocks_become_plain(onednn, packed, monkeypatch):
    chunks = ImageChunks(onednn, SHAPE, 2)
    monkeypatch.setattr(type(packed.layout), "submemory", refuse)
    values = packed.get()
    result = onednn.tensor(SHAPE)
    for (array,), out in chunks((packed,), result):
        out[...] = array
    np.testing.assert_array_equal(result.get(), values)


def refuse(*_):
    raise Unsupported("blocks of images")
