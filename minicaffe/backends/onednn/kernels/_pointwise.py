"""NumPy's formulas on whole tensors, a chunk at a time and several chunks at once.

For what goes over every number once and has no primitive: the layout does not matter then, and what
a formula needs in between stays in the cache.
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

# Numbers in a chunk. Measured on two cores of an AMD EPYC: with an eighth of it most formulas are a
# third slower, as threads wait for Python's lock; with twice as many some leave the cache.
CHUNK = 65536


def gapless_layout(x: OneDnnTensor) -> Layout:
    """Return the layout of x, or the plain one where that has padding.

    The padding of a packed layout must stay zero, and a formula need not give zero for zero.
    """
    has_padding = x.layout.size_bytes > math.prod(x.shape) * FLOAT_BYTES
    return Layout.plain(x.shape) if has_padding else x.layout


def pointwise(
    backend: OneDnnBackend,
    layout: Layout,
    formula: Callable[..., None],
    reads: Sequence[OneDnnTensor],
    writes: Sequence[OneDnnTensor],
    kept: Sequence[Array] = (),
) -> None:
    """Call a formula with all chunks of all values, on all threads.

    Parameters
    ----------
    backend : OneDnnBackend
    layout : Layout
        Of all tensors; without padding.
    formula : callable
        Takes a chunk of each tensor to read, of each to write, and of each array in `kept`.
    reads, writes : sequence of OneDnnTensor
        A tensor may be in both.
    kept : sequence of array
        Flat arrays of as many values, in the same order.
    """
    given = [tensor.values(layout) for tensor in reads]
    arrays = (*given, *(tensor.values_to_write(layout) for tensor in writes), *kept)
    size, step = math.prod(layout.shape), CHUNK * backend.threads

    def run(thread: int) -> None:
        for start in range(thread * CHUNK, size, step):
            formula(*[array[start : start + CHUNK] for array in arrays])

    backend.spread(run, pieces=-(-size // CHUNK))
    for tensor in writes:
        if tensor.is_pinned:
            tensor.settle()
