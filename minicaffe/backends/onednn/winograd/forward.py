"""Convolution with stride 1, and the gradient of its data, by Winograd's algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.runtime.channel_epilogue import NO_EPILOGUE, ChannelEpilogue
from minicaffe.backends.onednn.runtime.memory import Buffer, address_of
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.onednn.winograd.correlation import (
    POSITIONS,
    BlockedOperand,
    Correlation,
    blocked_filters,
    position_values,
    value_type_of_filters,
)
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Shape

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Of product.h and forward.c: tiles in a group, by lanes; blocks of outputs in a panel of filters;
# groups whose products are transformed back together.
GROUP_TILES = {16: 14, 8: 6}
PANEL_BLOCKS = 2
CHUNK_GROUPS = 4
# Inputs times outputs from which the transformed filters would leave the cache: all threads then
# share a range of tiles, and each transforms a panel of filters just before it uses it.
SHARED_FILTERS = 1 << 17
# Tiles in a range, measured on an AMD EPYC (Zen 5) with 1 MiB of second-level cache.
RANGE_TILES = 56
SHARED_RANGE_TILES = 98


class Winograd:
    """y = correlation of x with 3x3 or 5x5 filters.

    Parameters
    ----------
    backend : OneDnnBackend
        One with C kernels.
    sizes : Correlation
    weights : tuple of int
        The shape of the convolution's weights.
    """

    def __init__(self, backend: OneDnnBackend, sizes: Correlation, weights: Shape) -> None:
        function, native = backend.native_function("winograd_forward"), backend.native
        if function is None or native is None:
            raise Unsupported("Winograd's algorithm needs the C kernels")
        self._backend, self._run = backend, function
        lanes, (channels, filters) = native.lanes, sizes.group_channels
        precision = backend.precision.operands
        self._x, self._y = (BlockedOperand(s, lanes, precision) for s in (sizes.x, sizes.y))
        self._filter_type = value_type_of_filters(precision)
        self._weights = blocked_filters(weights, lanes)
        n_panels = -(-filters // (lanes * PANEL_BLOCKS))
        is_large = sizes.filter_values >= SHARED_FILTERS or sizes.tiles < filters
        # With more threads than panels, some would have no work.
        is_shared = is_large and n_panels >= backend.threads
        wanted = SHARED_RANGE_TILES if is_shared else RANGE_TILES
        # Not fewer ranges than threads.
        most = sizes.tiles if is_shared else -(-sizes.tiles // backend.threads)
        tiles = min(wanted, most)
        self._record = sizes.structure(lanes, tiles, is_shared)
        panel_values = POSITIONS * position_values(channels * lanes * PANEL_BLOCKS, 1, lanes)
        self._filter_values = 0 if is_shared else sizes.group * n_panels * panel_values
        chunk = position_values(PANEL_BLOCKS * lanes, CHUNK_GROUPS * GROUP_TILES[lanes], lanes)
        self._scratch_values = POSITIONS * (position_values(channels, tiles, lanes) + chunk)
        self._scratch_values += panel_values if is_shared else 0
        self._numbers = np.empty((2, sizes.y[1]), np.float32)
        self._cache: Buffer | None = None
        # The id and version of the weights of the last pass.
        self._last: tuple[int, int] | None = None

    def __call__(
        self,
        x: OneDnnTensor,
        w: OneDnnTensor,
        y: OneDnnTensor,
        epilogue: ChannelEpilogue = NO_EPILOGUE,
        caches: bool = False,
    ) -> None:
        """Overwrite y.

        Parameters
        ----------
        x, w, y : OneDnnTensor
        epilogue : ChannelEpilogue
        caches : bool
            Whether to cache the transformed w, if it is the same as in the last pass.
        """
        source, x_type = self._x.read(x)
        weights = address_of(w.source(self._weights))
        caches = caches and self._is_unchanged(w)
        shared = 0 if caches else self._filter_values
        threads, own = self._backend.threads, self._scratch_values
        scratch = self._backend.scratch((shared + threads * own) * FLOAT_BYTES)
        filters, is_ready = self._filters(scratch.address, caches)
        factor, term = self._factor_and_term(epilogue)
        target, y_type = self._y.write(y)
        self._record[-3:] = x_type, y_type, self._filter_type
        self._backend.engine.launch(
            *(self._run, self._record.ctypes.data, source, weights, filters, is_ready),
            *(factor, term, epilogue.rectifies),
            *(target, scratch.address + shared * FLOAT_BYTES, own, threads),
            owners=(scratch, self._cache),
        )
        y.write_back()

    def _is_unchanged(self, w: OneDnnTensor) -> bool:
        """Return whether w is what the last pass read."""
        log = self._backend.engine.log
        if log.is_on:
            log.fix(w)
        known, self._last = self._last, (id(w), w.version)
        return known == self._last and not w.is_pinned

    def _filters(self, scratch: int, caches: bool) -> tuple[int, bool]:
        """Return the address for the transformed filters, or 0, and whether they are there."""
        if not self._filter_values:
            return 0, False
        if not caches:
            self._cache = None
            return scratch, False
        is_ready = self._cache is not None
        if self._cache is None:
            size_bytes = self._filter_values * FLOAT_BYTES
            self._cache = Buffer(size_bytes, self._backend.engine.handle)
        return self._cache.address, is_ready

    def _factor_and_term(self, epilogue: ChannelEpilogue) -> tuple[int | None, int | None]:
        """Return the addresses of the numbers of each channel."""
        factor, term = self._numbers
        bias, scaling, _ = epilogue
        if not scaling:
            return None, None if bias is None else bias.address()
        term[...] = 0 if bias is None else bias.read()
        factor[...] = scaling[0].read().reshape(-1)
        term *= factor
        term += scaling[1].read().reshape(-1)
        return factor.ctypes.data, term.ctypes.data
