"""Gradient of filters and of the bias by Winograd's algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicaffe.backends.onednn.runtime.memory import address_of
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.onednn.winograd.correlation import (
    POSITIONS,
    BlockedOperand,
    Correlation,
    blocked_filters,
    position_values,
)
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import Shape

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Of gradient.c: the most blocks of outputs whose products are computed at once.
COLUMNS = 3
# Inputs times outputs from which the threads share dw instead of the tiles, because a sum of its
# own for each thread would leave the cache.
SHARED_FILTERS = 1 << 16
# Tiles in a range, measured on an AMD EPYC (Zen 5) with 1 MiB of second-level cache.
RANGE_TILES = 96
# Transformed values in a range, which the last level of the cache must hold.
RANGE_VALUES = 2_500_000


class WinogradGradient:
    """dw and db of a convolution.

    Parameters
    ----------
    backend : OneDnnBackend
        One with C kernels.
    sizes : Correlation
        Of the convolution.
    weights : tuple of int
        The shape of its weights.
    """

    def __init__(self, backend: OneDnnBackend, sizes: Correlation, weights: Shape) -> None:
        function, native = backend.native_function("winograd_gradient"), backend.native
        if function is None or native is None:
            raise Unsupported("Winograd's algorithm needs the C kernels")
        self._backend, self._run = backend, function
        lanes = native.lanes
        precision = backend.precision.operands
        self._x, self._dy = (BlockedOperand(s, lanes, precision) for s in (sizes.x, sizes.y))
        self._weights = blocked_filters(weights, lanes)
        is_shared = sizes.filter_values >= SHARED_FILTERS
        most = sizes.tiles if is_shared else -(-sizes.tiles // backend.threads)
        fits = RANGE_VALUES // (POSITIONS * sum(sizes.group_channels))
        tiles = max(1, min(RANGE_TILES, most, fits))
        self._record = sizes.structure(lanes, tiles, is_shared)
        transformed = sum(position_values(n, tiles, lanes) for n in sizes.group_channels)
        # The sums of dy, the products, a gradient of the filters, the transformed tiles.
        self._scratch_values = sizes.y[1] + POSITIONS * (COLUMNS * lanes**2 + transformed)
        if not is_shared:
            self._scratch_values += sizes.group * sizes.filter_values * sizes.taps**2

    def __call__(
        self, x: OneDnnTensor, dy: OneDnnTensor, dw: OneDnnTensor, db: OneDnnTensor | None
    ) -> None:
        """Add to dw and db."""
        (source, x_type), (gradient, dy_type) = self._x.read(x), self._dy.read(dy)
        self._record[-3:-1] = x_type, dy_type
        adds, threads = not dw.is_zero, self._backend.threads
        if adds:
            dw.source(self._weights)
        target = address_of(dw.target(self._weights))
        total = None if db is None else db.update().ctypes.data
        scratch = self._backend.scratch(threads * self._scratch_values * FLOAT_BYTES).address
        self._run(
            *(self._record.ctypes.data, source, gradient, target, adds, total),
            *(scratch, self._scratch_values, threads),
        )
        dw.write_back()
