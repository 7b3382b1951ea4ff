"""Convolution with 3x3 filters and stride 1 by Winograd's algorithm, F(4x4, 3x3).

An output tile of 4x4 needs an input tile of 6x6. Both are transformed so that the convolution
becomes one product of matrices, tiles times channels, for each of 36 positions: 36 products where
the definition takes 144. The transforms are products by small fixed matrices, too; all products
are oneDNN's convolutions with windows of 1x1, the 36 as one convolution of 36 groups.

A piece (some rows of tiles, of one or several images) goes through all steps on one thread:
read its rows, cut them into tiles, transform, multiply, transform back, put tiles together, write.
"""

from __future__ import annotations

import functools
import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.kernels._epilogue import Kind
from minicaffe.backends.onednn.runtime.memory import Buffer, Layout, address_of
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.onednn.runtime.workers import LANE_VALUES
from minicaffe.backends.onednn.winograd import toom_cook
from minicaffe.backends.onednn.winograd.blocks import Part, Sizes, cut, parts_of, tile_grid
from minicaffe.backends.onednn.winograd.filters import WinogradFilters
from minicaffe.backends.onednn.winograd.worker import Block, WinogradLane
from minicaffe.backends.onednn.winograd.tiles import OUTPUTS, SPAN, TAPS
from minicaffe.ops.backend import Shape
from minicaffe.ops.conv import Conv

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Chosen for accuracy: with 512 channels of normally distributed values the largest error against
# float64 is 2.0e-6 of the largest output, a third of that of the usual 0, +-1, +-2. Being sums of
# powers of two, they leave the matrices for data and outputs without any rounding.
POINTS = [Fraction(n, 4) for n in (0, 3, -3, 6, -6)]
MATRICES = toom_cook.matrices(POINTS, OUTPUTS)
TRANSFORM_OF_FILTERS = np.kron(MATRICES.filters, MATRICES.filters)

# Measured on two cores with AVX2, against the direct convolution: with fewer channels the
# transforms cost more than the multiplications save, with fewer tiles reading the filters does.
MIN_CHANNELS = 64
CHANNEL_STEP = 16
MIN_TILES = 32
# Of the computed outputs, which must lie inside the image.
MIN_SHARE = 0.5
# Tiles of a piece, also measured: with more than this for each channel, what one step writes has
# left the cache before the next reads it; with fewer, filters are read anew too often.
TILES_PER_CHANNEL = 1.5
MAX_PIECE_TILES = 192


def suits(op: Conv, x: Shape, y: Shape) -> bool:
    """Return whether this algorithm can compute y from x, and is faster than the definition."""
    if (op.kernel, op.stride, op.dilation) != ((TAPS, TAPS), (1, 1), (1, 1)) or op.transposed:
        return False
    channels = (x[1] // op.group, y[1] // op.group)
    if min(channels) < MIN_CHANNELS or any(c % CHANNEL_STEP for c in channels):
        return False
    rows, columns = tile_grid(y)
    share = y[2] * y[3] / (rows * columns * OUTPUTS**2)
    fits = columns * SPAN**2 * max(channels) <= LANE_VALUES
    return max(op.pad) < TAPS and x[0] * rows * columns >= MIN_TILES and share >= MIN_SHARE and fits


class Winograd:
    """y = correlation of x with 3x3 filters.

    Parameters
    ----------
    backend : OneDnnBackend
    sizes : Sizes
    weights : tuple of int
        The shape of the weights that the filters are made of.
    target : Layout
        Of y.
    kind : Kind
        What is done to y on the way.
    is_turned : bool
        Whether x and y are the gradients of a convolution's output and input.
    """

    def __init__(
        self,
        backend: OneDnnBackend,
        sizes: Sizes,
        weights: Shape,
        target: Layout,
        kind: Kind | None = None,
        is_turned: bool = False,
    ) -> None:
        self._backend, self._sizes, self._target, self._kind = (
            backend,
            sizes,
            target,
            kind or Kind(),
        )
        group = sizes.group
        self._block = block(sizes, backend.threads)
        filters = sizes.y[1] // group
        self._numbers = [
            Buffer(SPAN**2 * sizes.y[1] * FLOAT_BYTES, backend.engine.handle) for _ in range(3)
        ]
        self._lanes: list[WinogradLane] = []
        bench = backend.workbench
        bench.alone(
            lambda: self._lanes.extend(
                WinogradLane(lane, self._block, MATRICES, self._kind, self._numbers)
                for lane in bench.lanes
            )
        )
        self._filters = WinogradFilters(
            *(backend, weights, group, self._lanes[0].filters),
            *(TRANSFORM_OF_FILTERS, is_turned),
        )
        # A term for each output is a term for each position: that whose transform is all ones.
        ones = np.linalg.pinv(MATRICES.outputs) @ np.ones(OUTPUTS)
        self._ones = np.outer(ones, ones).reshape(-1, 1)
        self._per_group = (group, 1, filters)
        self._parts = functools.cache(self._plan_parts)

    def __call__(
        self,
        x: OneDnnTensor,
        w: OneDnnTensor,
        y: OneDnnTensor,
        b: OneDnnTensor | None = None,
        scaling: tuple[OneDnnTensor, ...] = (),
        keeps: bool = False,
    ) -> None:
        """Overwrite y.

        Parameters
        ----------
        x, w, y : OneDnnTensor
        b : OneDnnTensor, optional
            Added to each channel of y.
        scaling : tuple of OneDnnTensor
            Factor and term for each channel, if this kind scales.
        keeps : bool
            Whether w is expected to be the same in the next call.
        """
        source = x.layout if x.layout.shape == x.shape else Layout.plain(x.shape)
        given = address_of(x.source(source))
        filters = self._filters.address(w, keeps)
        self._spread_numbers(b, *scaling)
        out = address_of(y.target(self._target))

        def run(lane: int, part: Part) -> None:
            self._lanes[lane].run(part, source, self._target, given, filters, out)

        self._backend.workbench.share(run, self._parts(source))
        if y.is_pinned:
            y.settle()

    def _spread_numbers(
        self,
        b: OneDnnTensor | None,
        factor: OneDnnTensor | None = None,
        term: OneDnnTensor | None = None,
    ) -> None:
        """Write bias, factor and term of the channels as those of all positions."""
        at_positions = ((b, self._ones), (factor, 1.0), (term, self._ones))
        for buffer, (tensor, share) in zip(self._numbers, at_positions, strict=True):
            if tensor is not None:
                group, _, filters = self._per_group
                values = buffer.values.reshape(group, SPAN**2, filters)
                values[...] = tensor.read().reshape(self._per_group) * share

    def _plan_parts(self, source: Layout) -> list[Part]:
        parts = parts_of(self._sizes, self._block.grid, source, self._target)

        def prepare() -> None:
            for lane, part in itertools.product(self._lanes, parts):
                lane.prepare(part, source, self._target)

        self._backend.workbench.alone(prepare)
        return parts


def block(sizes: Sizes, threads: int) -> Block:
    """Return how much a piece holds."""
    channels, filters = (shape[1] // sizes.group for shape in (sizes.x, sizes.y))
    most = LANE_VALUES // (SPAN**2 * max(channels, filters))
    wanted = min(MAX_PIECE_TILES, int(TILES_PER_CHANNEL * min(channels, filters)), most)
    grid = cut(sizes.y, wanted, most, threads)
    return Block(grid, channels, filters, sizes.x[3], sizes.y[3], sizes.pad[1])
