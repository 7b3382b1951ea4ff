"""Sums of tensors, with ReLU or its gradient, in C: one pass over all terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.memory import STREAMED_BYTES, Layout, address_of
from minicaffe.backends.onednn.runtime.native import ThreadedFunction
from minicaffe.backends.onednn.runtime.precision import VALUE_BYTES, value_type
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.native.library import NativeLibrary

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class NativeSum:
    """Adds tensors of one shape, in the layout of the first one.

    Parameters
    ----------
    backend : OneDnnBackend
    native : NativeLibrary
        Its C kernels.
    """

    def __init__(self, backend: OneDnnBackend, native: NativeLibrary) -> None:
        self._add, self._lanes = native.lookup("add_tensors"), native.lanes
        self._backend, self._engine = backend, backend.engine
        self._function = cache_method(self._plan)

    def layout(self, tensors: Sequence[OneDnnTensor]) -> Layout:
        """Return the first tensor's layout to compute in: of bfloat16 if all are stored so."""
        first, *others = (self._backend.native_layout(tensor) for tensor in tensors)
        if any(layout.data_type is not first.data_type for layout in others):
            return first.widened
        # The C kernel reads bfloat16 in whole vectors.
        is_whole = first.size_bytes % (VALUE_BYTES[value_type(first)] * self._lanes) == 0
        return first if is_whole else first.widened

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
        layout = self.layout(terms if signs is None else [signs])
        sources = [address_of(term.source(layout)) for term in terms]
        positive = None if signs is None else address_of(signs.source(layout))
        stored, addresses = value_type(layout), np.array(sources, np.int64)
        n = layout.size_bytes // VALUE_BYTES[stored]
        size_bytes = (len(sources) + 1 + (signs is not None)) * layout.size_bytes
        target = address_of(y.target(layout))
        streams = layout.size_bytes >= STREAMED_BYTES and target not in (*sources, positive)
        operands = (addresses.ctypes.data, len(sources), positive, target, stored)
        self._function(size_bytes)(
            *(*operands, n, rectifies, streams), operands=tuple(sources), owners=(addresses,)
        )
        y.write_back()

    def _plan(self, size_bytes: int) -> ThreadedFunction:
        return ThreadedFunction(self._engine, self._add, size_bytes=size_bytes)
