from __future__ import annotations

import pytest

from minicaffe.backends.onednn import OneDnnBackend
from minicaffe.backends.onednn.runtime.memory import Layout, TaggedLayout

# dnnl_aBcd8b of dnnl_types.h 3.2.
BLOCKS_OF_8 = 102


@pytest.fixture
def backend():
    """A new backend with C kernels; tests of these are skipped where there are none."""
    made = OneDnnBackend(threads=2)
    if made.native is None:
        pytest.skip("the C kernels are not compiled")
    return made


@pytest.fixture
def pack_channels(onednn):
    """Return a function that stores values (N, C, H, W) in blocks of 8 channels, with padding."""

    def pack(values):
        plain = Layout.plain(values.shape)
        tagged = TaggedLayout(values.shape, BLOCKS_OF_8)
        packed = Layout.of(tagged.handle, values.shape)
        source, tensor = onednn.tensor(values.shape), onednn.tensor(values.shape)
        source.set(values)
        onednn.reorders(plain, source.source(plain), packed, tensor.target(packed))
        assert not tensor.layout.is_plain
        return tensor

    return pack
