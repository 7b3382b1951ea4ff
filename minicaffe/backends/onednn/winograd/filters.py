"""Transformed filters of Winograd's algorithm, cached until the weights change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.runtime.library import check_onednn
from minicaffe.backends.onednn.runtime.memory import Layout, MemoryCursor, address_of
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.onednn.runtime.workers import ScratchBuffer
from minicaffe.backends.onednn.winograd.toom_cook import Matrix
from minicaffe.ops.backend import Shape

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Values of each tap in a task: taps and results stay in a core's cache.
CHUNK = 2048


class WinogradFilters:
    """Transforms filters of t taps to one matrix for each of p positions in a tile.

    Parameters
    ----------
    backend : OneDnnBackend
    shape : tuple of int
        Of the weights, (group * K, C, rows, columns).
    group : int
    layout : Layout
        Of one group's matrices, (p, outputs, inputs, 1, 1), as the multiplication requires.
    transform : float64 array (p, t)
    is_flipped : bool
        For the gradient of the data: inputs and outputs are exchanged, the taps reversed.
    """

    def __init__(
        self,
        backend: OneDnnBackend,
        shape: Shape,
        group: int,
        layout: Layout,
        transform: Matrix,
        is_flipped: bool,
    ) -> None:
        self._backend, self._weights, self._group = backend, Layout.plain(shape), group
        positions, taps = transform.shape
        ordered = transform[:, ::-1] if is_flipped else transform
        self._transform = np.ascontiguousarray(ordered, dtype=np.float32)
        engine = backend.engine.handle
        outputs, inputs = layout.shape[1:3]
        self._group_step = outputs * inputs * taps
        # The strides of outputs and inputs in the weights, which are (outputs, inputs, taps) or,
        # flipped, (inputs, outputs, taps).
        strides = (taps, taps * outputs) if is_flipped else (taps * inputs, taps)
        self._source_layout = Layout.strided((taps, outputs, inputs, 1, 1), (1, *strides, 1, 1))
        self._taps_layout = layout.submemory((taps, outputs, inputs, 1, 1), (0, 0, 0, 0, 0))
        self._source, self._taps = (
            MemoryCursor(engine, layout) for layout in (self._source_layout, self._taps_layout)
        )
        self._matrix = layout.size_bytes // FLOAT_BYTES // positions
        self.step_bytes = layout.size_bytes
        self._cache: ScratchBuffer | None = None
        # The id and version of the weights that the cache was computed from.
        self._cached: tuple[int, int] | None = None

    def address(self, w: OneDnnTensor, caches: bool) -> int:
        """Return the address of the matrices of w, group after group.

        Parameters
        ----------
        w : OneDnnTensor
        caches : bool
            Whether to cache them for the next call, in memory of their own.
        """
        pool, size = self._backend.worker_pool, self._group * self.step_bytes // FLOAT_BYTES
        if not caches:
            self._cache = self._cached = None
            return self._write(w, pool.filters.reserve(size).address)
        if self._cache is None:
            self._cache = ScratchBuffer(self._backend.engine)
        address, state = self._cache.reserve(size).address, (id(w), w.version)
        if w.is_pinned or self._cached != state:
            self._write(w, address)
            self._cached = (id(w), w.version)
        return address

    def _write(self, w: OneDnnTensor, address: int) -> int:
        source = address_of(w.source(self._weights))
        taps = self._backend.worker_pool.taps.reserve(self._matrix * self._transform.shape[1])
        self._taps.move(taps.address)
        for group in range(self._group):
            self._source.move(source + group * self._group_step * FLOAT_BYTES)
            self._backend.reorders(
                *(self._source_layout, self._source.handle, self._taps_layout, self._taps.handle)
            )
            self._combine(taps.address, address + group * self.step_bytes)
        return address

    def _combine(self, taps: int, out: int) -> None:
        """Compute the matrices, which are linear combinations of the taps, on all threads."""
        positions, n_taps = self._transform.shape
        transform, size = self._transform.ctypes.data, self._matrix
        sgemm = self._backend.engine.lib.c.dnnl_sgemm

        def run(_worker: int, start: int) -> None:
            n = min(CHUNK, size - start)
            shift = start * FLOAT_BYTES
            a = (b"N", b"N", positions, n, n_taps, 1.0, transform, n_taps)
            check_onednn(sgemm(*a, taps + shift, size, 0.0, out + shift, size), "sgemm")

        self._backend.worker_pool.map(run, range(0, size, CHUNK))
