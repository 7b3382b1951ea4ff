"""Gradient of 3x3 filters by Winograd's algorithm; see `winograd.forward`.

With y = A^T (U * V) A for the transformed filters U and tiles V, the gradient of U is the product,
summed over all tiles, of V with the transformed gradient A dy A^T: at each of 36 positions a matrix
of filters times channels. The transpose of the filter transform then gives the filters' gradient.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.library import check_onednn
from minicaffe.backends.onednn.runtime.memory import Layout, MemoryCursor, address_of
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.onednn.runtime.workers import BUFFER_VALUES, Worker
from minicaffe.backends.onednn.winograd.blocks import (
    Sizes,
    TileRange,
    choose_grid,
    grid_size,
    tile_ranges,
)
from minicaffe.backends.onednn.winograd.forward import MATRICES, TRANSFORM_OF_FILTERS
from minicaffe.backends.onednn.winograd.tiles import (
    OUTPUTS,
    SPAN,
    TAPS,
    Grid,
    TileOffset,
    TileReader,
    plan_product,
)
from minicaffe.backends.onednn.winograd.toom_cook import Matrices
from minicaffe.ops.backend import Array

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# Measured: with fewer tiles, writing the products costs more than the multiplications save.
MIN_TILES = 64
MAX_RANGE_TILES = 96
# Values between tiles: at a distance of a multiple of 4 KiB, all tiles would map to the same lines
# of the cache, and the products would take twice as long.
GAP = 16
# Values of each position in a task.
CHUNK = 2048


def suits_gradient(sizes: Sizes) -> bool:
    """Return whether this is faster than direct convolution, for a convolution that `suits`."""
    rows, columns = grid_size(sizes.y)
    tiles = sizes.x[0] * rows * columns
    return tiles >= MIN_TILES and columns <= _most_tiles(sizes)


def _most_tiles(sizes: Sizes) -> int:
    # One buffer holds both transforms, the other the rows and the tiles.
    return BUFFER_VALUES // (2 * SPAN**2 * (max(_channels(sizes)) + GAP))


def _channels(sizes: Sizes) -> tuple[int, int]:
    """Return the numbers of channels of x and of y in a group."""
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
        self._grid = choose_grid(sizes.y, MAX_RANGE_TILES, _most_tiles(sizes), backend.threads)
        self._workers = backend.worker_pool.create(
            lambda worker: GradientWorker(worker, sizes, self._grid, MATRICES)
        )
        self._matrix = channels * filters
        self._combination = np.ascontiguousarray(TRANSFORM_OF_FILTERS, np.float32)
        self._bias_sums = np.zeros((sizes.group, backend.threads, filters), np.float32)
        shape = (filters, channels, TAPS, TAPS)
        self._plain = Layout.plain((sizes.y[1], *shape[1:]))
        # The layout of the combination's result: for each tap, filters times channels.
        self._by_taps = Layout.strided(shape, (channels, 1, TAPS * self._matrix, self._matrix))
        self._of_group = Layout.plain(shape)
        engine = backend.engine.handle
        self._taps, self._out = (
            MemoryCursor(engine, own) for own in (self._by_taps, self._of_group)
        )
        self._shares = cache_method(self._plan_shares)

    def __call__(
        self, x: OneDnnTensor, dy: OneDnnTensor, dw: OneDnnTensor, db: OneDnnTensor | None
    ) -> None:
        """Add to dw and db."""
        layouts = [x.layout, dy.layout]
        addresses = address_of(x.source(layouts[0])), address_of(dy.source(layouts[1]))
        adds = not dw.is_zero
        out = address_of(dw.source(self._plain) if adds else dw.target(self._plain))
        self._bias_sums[...] = 0
        for group, shares in enumerate(self._shares(*layouts)):
            sums = self._sum(group, shares, layouts, addresses)
            self._finish(sums, out + group * TAPS**2 * self._matrix * FLOAT_BYTES, adds)
        dw.target(self._plain)
        if db is not None:
            db.update()[...] += self._bias_sums.sum(1).reshape(-1)

    def _sum(
        self,
        group: int,
        shares: list[list[TileRange]],
        layouts: list[Layout],
        addresses: tuple[int, int],
    ) -> list[int]:
        """Return the address of each share's sum of products, for a group."""
        pool, size = self._backend.worker_pool, SPAN**2 * self._matrix
        sums = [pool.sums[i].reserve(size).address for i in range(len(shares))]

        # The assignment of tile ranges to shares is fixed, whichever worker computes a share,
        # because the order of summation changes the rounding.
        def run(worker: int, share: int) -> None:
            bias_sums = self._bias_sums[group, share]
            self._workers[worker].run(shares[share], layouts, addresses, sums[share], bias_sums)

        pool.map(run, range(len(shares)))
        return sums

    def _plan_shares(self, source: Layout, target: Layout) -> list[list[list[TileRange]]]:
        """Return, for each group, the tile ranges of each share."""
        ranges = tile_ranges(self._sizes, self._grid, source, target)

        def prepare() -> None:
            for worker, tiles in itertools.product(self._workers, ranges):
                worker.prepare(tiles, source, target)

        self._backend.worker_pool.single_threaded(prepare)
        groups = [[r for r in ranges if r.group == g] for g in range(self._sizes.group)]
        n = min(self._backend.threads, len(groups[0]))
        return [[own[i::n] for i in range(n)] for own in groups]

    def _finish(self, sums: list[int], out: int, adds: bool) -> None:
        """Overwrite a group's gradient with the sum of all shares, or add it."""
        pool, size = self._backend.worker_pool, self._matrix
        taps = pool.taps.reserve(TAPS**2 * size).address
        combination, n_taps = self._combination.ctypes.data, TAPS**2
        sgemm = self._backend.engine.lib.c.dnnl_sgemm

        def run(_worker: int, start: int) -> None:
            n, shift = min(CHUNK, size - start), start * FLOAT_BYTES
            for i, address in enumerate(sums):
                a = (b"T", b"N", n_taps, n, SPAN**2, 1.0, combination, n_taps)
                beta = float(i > 0)
                check_onednn(sgemm(*a, address + shift, size, beta, taps + shift, size), "sgemm")

        pool.map(run, range(0, size, CHUNK))
        self._taps.move(taps)
        self._out.move(out)
        source, target = (self._by_taps, self._taps.handle), (self._of_group, self._out.handle)
        self._backend.reorders(*source, *target, adds=adds)


class GradientWorker:
    """The steps of the gradient on one worker."""

    def __init__(self, worker: Worker, sizes: Sizes, grid: Grid, matrices: Matrices) -> None:
        self._grid = grid
        self._channels, self._filters = channels, filters = _channels(sizes)
        self._steps = (channels + GAP, filters + GAP)
        room = grid.tiles * SPAN**2
        rows, tiles = TileOffset(worker.ping), TileOffset(worker.ping, room * max(self._steps))
        self._x, self._dy = TileOffset(worker.pong), TileOffset(worker.pong, room * self._steps[0])
        data, back = (np.kron(m, m) for m in (matrices.data, matrices.outputs.T))
        image = (channels, sizes.x[3], sizes.pad[1])
        cut_x = tiles.shaped((*grid, SPAN, SPAN, self._steps[0]))[..., :channels]
        self._read_x = TileReader(worker, grid, SPAN, image, rows, cut_x)
        image = (filters, sizes.y[3], 0)
        cut_dy = tiles.shaped((*grid, OUTPUTS, OUTPUTS, self._steps[1]))[..., :filters]
        self._read_dy = TileReader(worker, grid, OUTPUTS, image, rows, cut_dy)
        self._transform_x = plan_product(worker, data, grid.tiles, self._steps[0], tiles, self._x)
        self._transform_dy = plan_product(worker, back, grid.tiles, self._steps[1], tiles, self._dy)
        self._sgemm = worker.engine.lib.c.dnnl_sgemm

    def prepare(self, tiles: TileRange, source: Layout, target: Layout) -> None:
        """Create the primitives that `run` needs for a tile range of these layouts."""
        self._read_x.plan(source, tiles.images, tiles.rows, tiles.above)
        self._read_dy.plan(target, tiles.images, tiles.out_rows, 0)

    def run(
        self,
        ranges: list[TileRange],
        layouts: list[Layout],
        addresses: tuple[int, int],
        sums: int,
        bias_sums: Array,
    ) -> None:
        """Overwrite the sums over these tile ranges, and add to those of the bias."""
        for i, tiles in enumerate(ranges):
            x = addresses[0] + tiles.x_offset
            self._read_x(layouts[0], x, tiles.images, tiles.rows, tiles.above)
            check_onednn(self._transform_x(), "transform")
            dy = addresses[1] + tiles.y_offset
            self._read_dy(layouts[1], dy, tiles.images, tiles.out_rows, 0)
            check_onednn(self._transform_dy(), "transform")
            self._multiply(sums, float(i > 0))
            bias_sums += self._read_dy.rows.reshape(-1, self._filters).sum(0)

    def _multiply(self, sums: int, beta: float) -> None:
        """Compute ``sums = dy^T x + beta * sums`` at all positions."""
        (step_x, step_dy), tiles = self._steps, self._grid.tiles
        k, c = self._filters, self._channels
        for p in range(SPAN**2):
            dy, x = (
                values.address + p * step * FLOAT_BYTES
                for values, step in ((self._dy, step_dy), (self._x, step_x))
            )
            ab = (b"T", b"N", k, c, tiles, 1.0, dy, SPAN**2 * step_dy, x, SPAN**2 * step_x)
            check_onednn(self._sgemm(*ab, beta, sums + p * k * c * FLOAT_BYTES, c), "sgemm")
