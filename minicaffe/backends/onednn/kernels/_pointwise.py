"""Elementwise NumPy formulas on whole tensors, in chunks, on all threads.

For elementwise ops without a primitive: any layout serves, and the intermediate results of a chunk
stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.ops.backend import Array

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Values in a chunk. Measured on two cores of an AMD EPYC: with an eighth of it most formulas are a
# third slower, because threads wait for the interpreter lock; with twice as many some leave the
# cache.
CHUNK = 65536


def gapless_layout(x: OneDnnTensor) -> Layout:
    """Return the layout of x, or the plain one if that has padding.

    The padding of a packed layout must stay zero, but a formula may map zero to another value.
    """
    has_padding = x.layout.size_bytes > math.prod(x.shape) * FLOAT_BYTES
    return Layout.plain(x.shape) if has_padding else x.layout


def pointwise(
    backend: OneDnnBackend,
    layout: Layout,
    formula: Callable[..., None],
    reads: Sequence[OneDnnTensor],
    writes: Sequence[OneDnnTensor],
    saved: Sequence[Array] = (),
) -> None:
    """Apply a formula to all values, in chunks, on all threads.

    Parameters
    ----------
    backend : OneDnnBackend
    layout : Layout
        Of all tensors; without padding.
    formula : callable
        Takes a chunk of each tensor to read, of each to write, and of each array in `saved`.
    reads, writes : sequence of OneDnnTensor
        A tensor may be in both.
    saved : sequence of array
        Flat arrays of as many values, in the same order.
    """
    sources = [tensor.values(layout) for tensor in reads]
    arrays = (*sources, *(tensor.values_to_write(layout) for tensor in writes), *saved)
    size, step = math.prod(layout.shape), CHUNK * backend.threads

    def run(thread: int) -> None:
        for start in range(thread * CHUNK, size, step):
            formula(*[array[start : start + CHUNK] for array in arrays])

    backend.spread(run, -(-size // CHUNK))
    for tensor in writes:
        tensor.write_back()
