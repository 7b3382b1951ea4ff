"""The gradient of 3x3 filters by Winograd's algorithm; see `winograd`.

Where y = A^T (U * V) A for the transformed filters U and tiles V, the gradient of U is the product,
over all tiles, of V with the transformed gradient A dy A^T: at each of 36 positions a matrix of
filters times channels. What made U of the filters then makes their gradient of that of U.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.library import check
from minicaffe.backends.onednn.runtime.memory import Cursor, Layout, address_of
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.onednn.runtime.workers import LANE_VALUES, Lane
from minicaffe.backends.onednn.winograd.blocks import Part, Sizes, cut, parts_of, tile_grid
from minicaffe.backends.onednn.winograd.forward import MATRICES, TRANSFORM_OF_FILTERS
from minicaffe.backends.onednn.winograd.tiles import (
    OUTPUTS,
    SPAN,
    TAPS,
    Grid,
    Place,
    TileReader,
    plan_product,
)
from minicaffe.backends.onednn.winograd.toom_cook import Matrices
from minicaffe.ops.backend import Array

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Measured: with fewer tiles, writing the products costs more than the multiplications save.
MIN_TILES = 64
MAX_PIECE_TILES = 96
# Tiles lie so many values further apart: at a multiple of 4 KiB, all would fall into the same lines
# of the cache, and the products take twice as long.
GAP = 16
# Values of each position that are combined at once.
CHUNK = 2048


def suits_gradient(sizes: Sizes) -> bool:
    """Return whether this is faster than the definition, for a convolution that `suits`."""
    rows, columns = tile_grid(sizes.y)
    tiles = sizes.x[0] * rows * columns
    return tiles >= MIN_TILES and columns <= _most_tiles(sizes)


def _most_tiles(sizes: Sizes) -> int:
    # One buffer holds both transforms, the other rows and tiles.
    return LANE_VALUES // (2 * SPAN**2 * (max(_channels(sizes)) + GAP))


def _channels(sizes: Sizes) -> tuple[int, int]:
    """Return how many channels of x and of y a group has."""
    return sizes.x[1] // sizes.group, sizes.y[1] // sizes.group


class WinogradGradient:
    """dw and db of a convolution.

    Parameters
    ----------
    backend : OneDnnBackend
    sizes : Sizes
    """

    def __init__(self, backend: OneDnnBackend, sizes: Sizes) -> None:
        self._backend, self._sizes = backend, sizes
        channels, filters = _channels(sizes)
        self._grid = cut(sizes.y, MAX_PIECE_TILES, _most_tiles(sizes), backend.threads)
        bench, lanes = backend.workbench, list[GradientLane]()
        bench.alone(
            lambda: lanes.extend(
                GradientLane(lane, sizes, self._grid, MATRICES) for lane in bench.lanes
            )
        )
        self._lanes = lanes
        self._matrix = channels * filters
        self._combination = np.ascontiguousarray(TRANSFORM_OF_FILTERS, np.float32)
        self._bias_sums = np.zeros((sizes.group, backend.threads, filters), np.float32)
        shape = (filters, channels, TAPS, TAPS)
        self._plain = Layout.plain((sizes.y[1], *shape[1:]))
        # As the combination leaves it: for each tap, filters times channels.
        self._by_taps = Layout.strided(shape, (channels, 1, TAPS * self._matrix, self._matrix))
        self._of_group = Layout.plain(shape)
        engine = backend.engine.handle
        self._taps, self._out = (Cursor(engine, own) for own in (self._by_taps, self._of_group))
        self._shares = cache_method(self._plan_shares)

    def __call__(
        self, x: OneDnnTensor, dy: OneDnnTensor, dw: OneDnnTensor, db: OneDnnTensor | None
    ) -> None:
        """Add to dw and db."""
        layouts = [
            t.layout if t.layout.shape == t.shape else Layout.plain(t.shape) for t in (x, dy)
        ]
        given_x, given_dy = (
            address_of(t.source(own)) for t, own in zip((x, dy), layouts, strict=True)
        )
        adds = not dw.is_zero
        out = address_of(dw.source(self._plain) if adds else dw.target(self._plain))
        self._bias_sums[...] = 0
        for group, shares in enumerate(self._shares(*layouts)):
            sums = self._sum(group, shares, layouts, (given_x, given_dy))
            self._finish(sums, out + group * TAPS**2 * self._matrix * FLOAT_BYTES, adds)
        dw.target(self._plain)
        if db is not None:
            db.update()[...] += self._bias_sums.sum(1).reshape(-1)

    def _sum(
        self, group: int, shares: list[list[Part]], layouts: list[Layout], given: tuple[int, int]
    ) -> list[int]:
        """Return the addresses of the products that each share of a group's parts adds up to."""
        bench, size = self._backend.workbench, SPAN**2 * self._matrix
        sums = [bench.sums[i].holding(size).address for i in range(len(shares))]

        # Which parts are summed up together is fixed, whichever lane does it: the order of a sum
        # changes its rounding.
        def run(lane: int, share: int) -> None:
            bias_sums = self._bias_sums[group, share]
            self._lanes[lane].run(shares[share], layouts, given, sums[share], bias_sums)

        bench.share(run, range(len(shares)))
        return sums

    def _plan_shares(self, source: Layout, target: Layout) -> list[list[list[Part]]]:
        """Return, for each group, the parts of each share."""
        parts = parts_of(self._sizes, self._grid, source, target)

        def prepare() -> None:
            for lane, part in itertools.product(self._lanes, parts):
                lane.prepare(part, source, target)

        self._backend.workbench.alone(prepare)
        groups = [[p for p in parts if p.group == g] for g in range(self._sizes.group)]
        n = min(self._backend.threads, len(groups[0]))
        return [[own[i::n] for i in range(n)] for own in groups]

    def _finish(self, sums: list[int], out: int, adds: bool) -> None:
        """Write, or add, to a group's gradient what all shares found."""
        bench, size = self._backend.workbench, self._matrix
        taps = bench.taps.holding(TAPS**2 * size).address
        combination, n_taps = self._combination.ctypes.data, TAPS**2
        sgemm = self._backend.engine.lib.c.dnnl_sgemm

        def run(_lane: int, start: int) -> None:
            n, shift = min(CHUNK, size - start), start * FLOAT_BYTES
            for i, address in enumerate(sums):
                given = (b"T", b"N", n_taps, n, SPAN**2, 1.0, combination, n_taps)
                old = float(i > 0)
                check(sgemm(*given, address + shift, size, old, taps + shift, size), "sgemm")

        bench.share(run, range(0, size, CHUNK))
        self._taps.move(taps)
        self._out.move(out)
        given, target = (self._by_taps, self._taps.handle), (self._of_group, self._out.handle)
        self._backend.reorders(*given, *target, adds=adds)


class GradientLane:
    """The steps of the gradient on one thread."""

    def __init__(self, lane: Lane, sizes: Sizes, grid: Grid, matrices: Matrices) -> None:
        self._grid = grid
        self._channels, self._filters = channels, filters = _channels(sizes)
        self._steps = (channels + GAP, filters + GAP)
        room = grid.tiles * SPAN**2
        rows, tiles = Place(lane.near), Place(lane.near, room * max(self._steps))
        self._x, self._dy = Place(lane.far), Place(lane.far, room * self._steps[0])
        data, back = (np.kron(m, m) for m in (matrices.data, matrices.outputs.T))
        image = (channels, sizes.x[3], sizes.pad[1])
        cut_x = tiles.shaped((*grid, SPAN, SPAN, self._steps[0]))[..., :channels]
        self._read_x = TileReader(lane, grid, SPAN, image, rows, cut_x)
        image = (filters, sizes.y[3], 0)
        cut_dy = tiles.shaped((*grid, OUTPUTS, OUTPUTS, self._steps[1]))[..., :filters]
        self._read_dy = TileReader(lane, grid, OUTPUTS, image, rows, cut_dy)
        self._transform_x = plan_product(lane, data, grid.tiles, self._steps[0], tiles, self._x)
        self._transform_dy = plan_product(lane, back, grid.tiles, self._steps[1], tiles, self._dy)
        self._sgemm = lane.engine.lib.c.dnnl_sgemm

    def prepare(self, part: Part, source: Layout, target: Layout) -> None:
        """Make what `run` needs for a part of these layouts."""
        self._read_x.plan(source, part.images, part.rows, part.above)
        self._read_dy.plan(target, part.images, part.out_rows, 0)

    def run(
        self,
        parts: list[Part],
        layouts: list[Layout],
        given: tuple[int, int],
        sums: int,
        bias_sums: Array,
    ) -> None:
        """Overwrite the sums over these parts, and add to those of the bias."""
        for i, part in enumerate(parts):
            x = (layouts[0], given[0] + part.at_x, part.images, part.rows, part.above)
            self._read_x(*x)
            check(self._transform_x(), "transform")
            self._read_dy(layouts[1], given[1] + part.at_y, part.images, part.out_rows, 0)
            check(self._transform_dy(), "transform")
            self._multiply(sums, float(i > 0))
            bias_sums += self._read_dy.rows.reshape(-1, self._filters).sum(0)

    def _multiply(self, sums: int, old: float) -> None:
        """Compute ``sums = old * sums + dy^T x`` at all positions."""
        (step_x, step_dy), tiles = self._steps, self._grid.tiles
        k, c = self._filters, self._channels
        for p in range(SPAN**2):
            dy, x = (
                place.address + p * step * FLOAT_BYTES
                for place, step in ((self._dy, step_dy), (self._x, step_x))
            )
            given = (b"T", b"N", k, c, tiles, 1.0, dy, SPAN**2 * step_dy, x, SPAN**2 * step_x)
            check(self._sgemm(*given, old, sums + p * k * c * FLOAT_BYTES, c), "sgemm")
