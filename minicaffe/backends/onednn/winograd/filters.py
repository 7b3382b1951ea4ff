"""Filters as Winograd's algorithm multiplies by them: kept until the weights change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.runtime.library import check
from minicaffe.backends.onednn.runtime.memory import Cursor, Layout, address_of
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.onednn.runtime.workers import Spare
from minicaffe.backends.onednn.winograd.toom_cook import Matrix
from minicaffe.ops.backend import Shape

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Values of each tap that are transformed at once: taps and results stay in a core's cache.
CHUNK = 2048


class WinogradFilters:
    """Turns filters of t taps into one matrix for each of p positions in a tile.

    Parameters
    ----------
    backend : OneDnnBackend
    shape : tuple of int
        Of the weights, (group * K, C, rows, columns).
    group : int
    layout : Layout
        Of one group's matrices, (p, outputs, inputs, 1, 1), as the multiplication wants them.
    transform : float64 array (p, t)
    is_turned : bool
        For the gradient of the data: inputs and outputs change places, and the taps their order.
    """

    def __init__(
        self,
        backend: OneDnnBackend,
        shape: Shape,
        group: int,
        layout: Layout,
        transform: Matrix,
        is_turned: bool,
    ) -> None:
        self._backend, self._weights, self._group = backend, Layout.plain(shape), group
        positions, taps = transform.shape
        ordered = transform[:, ::-1] if is_turned else transform
        self._transform = np.ascontiguousarray(ordered, dtype=np.float32)
        engine = backend.engine.handle
        outputs, inputs = layout.shape[1:3]
        self._given_step = outputs * inputs * taps
        # Filters are taps * inputs apart, the other channel taps: which is which depends.
        steps = (taps, taps * outputs) if is_turned else (taps * inputs, taps)
        self._given_layout = Layout.strided((taps, outputs, inputs, 1, 1), (1, *steps, 1, 1))
        self._taps_layout = layout.place((taps, outputs, inputs, 1, 1), (0, 0, 0, 0, 0))
        self._given, self._taps = (
            Cursor(engine, own) for own in (self._given_layout, self._taps_layout)
        )
        self._matrix = layout.size_bytes // FLOAT_BYTES // positions
        self.step_bytes = layout.size_bytes
        self._kept: Spare | None = None
        self._seen: tuple[int, int] | None = None

    def address(self, w: OneDnnTensor, keeps: bool) -> int:
        """Return where the matrices of w lie, group after group.

        Parameters
        ----------
        w : OneDnnTensor
        keeps : bool
            Whether to keep them for the next call, in memory of their own.
        """
        bench, size = self._backend.workbench, self._group * self.step_bytes // FLOAT_BYTES
        if not keeps:
            self._kept = self._seen = None
            return self._write(w, bench.filters.holding(size).address)
        if self._kept is None:
            self._kept = Spare(self._backend.engine)
        address, state = self._kept.holding(size).address, (id(w), w.version)
        if w.is_pinned or self._seen != state:
            self._write(w, address)
            self._seen = (id(w), w.version)
        return address

    def _write(self, w: OneDnnTensor, address: int) -> int:
        given = address_of(w.source(self._weights))
        taps = self._backend.workbench.taps.holding(self._matrix * self._transform.shape[1])
        self._taps.move(taps.address)
        for group in range(self._group):
            self._given.move(given + group * self._given_step * FLOAT_BYTES)
            self._backend.reorders(
                *(self._given_layout, self._given.handle, self._taps_layout, self._taps.handle)
            )
            self._combine(taps.address, address + group * self.step_bytes)
        return address

    def _combine(self, taps: int, out: int) -> None:
        """Compute the matrices, as sums of the taps, on all threads."""
        positions, n_taps = self._transform.shape
        transform, size = self._transform.ctypes.data, self._matrix
        sgemm = self._backend.engine.lib.c.dnnl_sgemm

        def run(_lane: int, start: int) -> None:
            n = min(CHUNK, size - start)
            shift = start * FLOAT_BYTES
            given = (b"N", b"N", positions, n, n_taps, 1.0, transform, n_taps)
            check(sgemm(*given, taps + shift, size, 0.0, out + shift, size), "sgemm")

        self._backend.workbench.share(run, range(0, size, CHUNK))
