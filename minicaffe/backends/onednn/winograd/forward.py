"""Convolution with 3x3 filters and stride 1 by Winograd's algorithm, F(4x4, 3x3).

An output tile of 4x4 needs an input tile of 6x6. Both are transformed so that the convolution
becomes one matrix product, tiles times channels, for each of 36 positions: 36 multiplications where
the definition takes 144. The transforms are products with small constant matrices; all products are
oneDNN convolutions with 1x1 windows, the 36 products one convolution of 36 groups.

A tile range (some rows of tiles, of one or several images) goes through all steps on one thread:
read its rows, extract tiles, transform, multiply, transform back, assemble the tiles, write.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.memory import Buffer, Layout, address_of
from minicaffe.backends.onednn.runtime.primitive import EpilogueKind
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.onednn.runtime.workers import BUFFER_VALUES
from minicaffe.backends.onednn.winograd import toom_cook
from minicaffe.backends.onednn.winograd.blocks import (
    Sizes,
    TileRange,
    choose_grid,
    grid_size,
    tile_ranges,
)
from minicaffe.backends.onednn.winograd.filters import WinogradFilters
from minicaffe.backends.onednn.winograd.tiles import OUTPUTS, SPAN, TAPS
from minicaffe.backends.onednn.winograd.worker import TileBlock, WinogradWorker
from minicaffe.ops.backend import Shape
from minicaffe.ops.conv import Conv

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Chosen for accuracy: with 512 channels of normally distributed values the largest error against
# float64 is 2.0e-6 of the largest output, a third of that of the usual 0, +-1, +-2. They are sums
# of powers of two, so the matrices for data and outputs are exact.
POINTS = [Fraction(n, 4) for n in (0, 3, -3, 6, -6)]
MATRICES = toom_cook.matrices(POINTS, OUTPUTS)
TRANSFORM_OF_FILTERS = np.kron(MATRICES.filters, MATRICES.filters)

# Measured on two cores with AVX2, against the direct convolution: with fewer channels the
# transforms cost more than the multiplications save, with fewer tiles reading the filters does.
MIN_CHANNELS = 64
CHANNEL_STEP = 16
MIN_TILES = 32
# The share of the computed outputs that must be inside the image.
MIN_SHARE = 0.5
# Tiles in a tile range, also measured: with more than this for each channel, the output of a step
# has left the cache before the next step reads it; with fewer, filters are read too often.
TILES_PER_CHANNEL = 1.5
MAX_RANGE_TILES = 192


def suits(op: Conv, x: Shape, y: Shape) -> bool:
    """Return whether this algorithm can compute y from x, and is faster than direct convolution."""
    if (op.kernel, op.stride, op.dilation) != ((TAPS, TAPS), (1, 1), (1, 1)) or op.transposed:
        return False
    channels = (x[1] // op.group, y[1] // op.group)
    if min(channels) < MIN_CHANNELS or any(c % CHANNEL_STEP for c in channels):
        return False
    rows, columns = grid_size(y)
    share = y[2] * y[3] / (rows * columns * OUTPUTS**2)
    fits = columns * SPAN**2 * max(channels) <= BUFFER_VALUES
    return max(op.pad) < TAPS and x[0] * rows * columns >= MIN_TILES and share >= MIN_SHARE and fits


class Winograd:
    """y = correlation of x with 3x3 filters.

    Parameters
    ----------
    backend : OneDnnBackend
    sizes : Sizes
    weights : tuple of int
        The shape of the weights.
    target : Layout
        Of y.
    kind : EpilogueKind, optional
        The epilogue of y.
    is_flipped : bool
        Whether x and y are the gradients of a convolution's output and input.
    """

    def __init__(
        self,
        backend: OneDnnBackend,
        sizes: Sizes,
        weights: Shape,
        target: Layout,
        kind: EpilogueKind | None = None,
        is_flipped: bool = False,
    ) -> None:
        self._backend, self._sizes, self._target = backend, sizes, target
        kind = kind or EpilogueKind()
        group = sizes.group
        self._block = block(sizes, backend.threads)
        filters = sizes.y[1] // group
        self._numbers = [
            Buffer(SPAN**2 * sizes.y[1] * FLOAT_BYTES, backend.engine.handle) for _ in range(3)
        ]
        self._workers = backend.worker_pool.create(
            lambda worker: WinogradWorker(worker, self._block, MATRICES, kind, self._numbers)
        )
        self._filters = WinogradFilters(
            *(backend, weights, group, self._workers[0].filters),
            *(TRANSFORM_OF_FILTERS, is_flipped),
        )
        # A term is added in the transform domain, as the multiple of the vector that the output
        # transform maps to all ones.
        ones = np.linalg.pinv(MATRICES.outputs) @ np.ones(OUTPUTS)
        self._ones = np.outer(ones, ones).reshape(-1, 1)
        self._per_group = (group, 1, filters)
        self._ranges = cache_method(self._plan_ranges)

    def __call__(
        self,
        x: OneDnnTensor,
        w: OneDnnTensor,
        y: OneDnnTensor,
        b: OneDnnTensor | None = None,
        scaling: tuple[OneDnnTensor, ...] = (),
        caches: bool = False,
    ) -> None:
        """Overwrite y.

        Parameters
        ----------
        x, w, y : OneDnnTensor
        b : OneDnnTensor, optional
            Added to each channel of y.
        scaling : tuple of OneDnnTensor
            Factor and term of each channel, if the epilogue scales.
        caches : bool
            Whether to cache the transformed w, because it is expected to be the same next time.
        """
        source = x.layout
        x_address = address_of(x.source(source))
        filters = self._filters.address(w, caches)
        self._broadcast_numbers(b, *scaling)
        out = address_of(y.target(self._target))

        def run(worker: int, tiles: TileRange) -> None:
            self._workers[worker].run(tiles, source, self._target, x_address, filters, out)

        self._backend.worker_pool.map(run, self._ranges(source))
        y.write_back()

    def _broadcast_numbers(
        self,
        b: OneDnnTensor | None,
        factor: OneDnnTensor | None = None,
        term: OneDnnTensor | None = None,
    ) -> None:
        """Broadcast bias, factor and term of the channels to all positions."""
        at_positions = ((b, self._ones), (factor, 1.0), (term, self._ones))
        for buffer, (tensor, share) in zip(self._numbers, at_positions, strict=True):
            if tensor is not None:
                group, _, filters = self._per_group
                values = buffer.values.reshape(group, SPAN**2, filters)
                values[...] = tensor.read().reshape(self._per_group) * share

    def _plan_ranges(self, source: Layout) -> list[TileRange]:
        ranges = tile_ranges(self._sizes, self._block.grid, source, self._target)

        def prepare() -> None:
            for worker, tiles in itertools.product(self._workers, ranges):
                worker.prepare(tiles, source, self._target)

        self._backend.worker_pool.single_threaded(prepare)
        return ranges


def block(sizes: Sizes, threads: int) -> TileBlock:
    """Return the sizes of a tile range."""
    channels, filters = (shape[1] // sizes.group for shape in (sizes.x, sizes.y))
    most = BUFFER_VALUES // (SPAN**2 * max(channels, filters))
    wanted = min(MAX_RANGE_TILES, int(TILES_PER_CHANNEL * min(channels, filters)), most)
    grid = choose_grid(sizes.y, wanted, most, threads)
    return TileBlock(grid, channels, filters, sizes.x[3], sizes.y[3], sizes.pad[1])
