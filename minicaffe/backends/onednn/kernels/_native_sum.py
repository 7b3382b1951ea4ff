"""Sums of tensors, with ReLU or its gradient, in C: one pass over all terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.runtime.memory import STREAMED_BYTES, address_of
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.native.library import NativeLibrary

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class NativeSum:
    """Adds tensors of one shape, in the float32 layout of one of them.

    Parameters
    ----------
    backend : OneDnnBackend
    native : NativeLibrary
        Its C kernels.
    """

    def __init__(self, backend: OneDnnBackend, native: NativeLibrary) -> None:
        self._function, self._engine = native.lookup("add_tensors"), backend.engine

    def add(
        self, terms: Sequence[OneDnnTensor], y: OneDnnTensor, *, rectifies: bool = False
    ) -> None:
        """Overwrite y, which may be a term, with the sum or its ReLU, which keeps NaN."""
        self._run(terms, None, y, rectifies)

    def backward_relu(self, y: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx with dy where y is positive; if dy is a deferred sum, without storing it."""
        self._run(dy.terms(), y, dx, False)

    def _run(
        self,
        terms: Sequence[OneDnnTensor],
        signs: OneDnnTensor | None,
        y: OneDnnTensor,
        rectifies: bool,
    ) -> None:
        layout = (signs or terms[0]).layout
        sources = [address_of(term.source(layout)) for term in terms]
        positive = None if signs is None else address_of(signs.source(layout))
        n, addresses = layout.size_bytes // FLOAT_BYTES, np.array(sources, np.int64)
        size_bytes = (len(sources) + 1 + (signs is not None)) * layout.size_bytes
        threads = self._engine.threads_for(size_bytes=size_bytes, keeps_bits=True)
        target = address_of(y.target(layout))
        streams = layout.size_bytes >= STREAMED_BYTES and target not in (*sources, positive)
        operands = (addresses.ctypes.data, len(sources), positive, target)
        self._engine.launch(
            *(self._function, *operands, n, rectifies, streams, threads),
            operands=tuple(sources),
            owners=(addresses,),
        )
        y.write_back()
