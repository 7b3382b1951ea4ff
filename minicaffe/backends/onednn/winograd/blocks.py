"""Tile ranges: the units of work of Winograd's algorithm; see `winograd.forward`."""

from __future__ import annotations

from typing import NamedTuple

from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES
from minicaffe.backends.onednn.winograd.tiles import OUTPUTS, TAPS, Grid
from minicaffe.ops.backend import Shape


class Sizes(NamedTuple):
    """Shapes of a correlation: x, padded by `pad` rows and columns, with filters gives y."""

    x: Shape
    y: Shape
    pad: Shape
    group: int


class TileRange(NamedTuple):
    """Some rows of tiles of one or several images, processed as one task.

    Attributes
    ----------
    group : int
    images : int
    rows, above : int
        Rows of x that are read, and rows of padding above them.
    out_rows : int
        Rows of y.
    x_offset, y_offset : int
        Offsets of the first value in x and in y, in bytes.
    """

    group: int
    images: int
    rows: int
    above: int
    out_rows: int
    x_offset: int
    y_offset: int


def grid_size(y: Shape) -> tuple[int, int]:
    """Return the numbers of tiles that cover the rows and the columns of (N, K, rows, columns)."""
    return -(-y[2] // OUTPUTS), -(-y[3] // OUTPUTS)


def choose_grid(y: Shape, wanted: int, most: int, threads: int) -> Grid:
    """Return the size of a tile range of about `wanted` tiles, such that all threads have work."""
    tile_rows, columns = grid_size(y)
    wanted = min(wanted, -(-y[0] * tile_rows * columns // threads))
    if wanted >= tile_rows * columns:
        n_ranges = -(-y[0] // (wanted // (tile_rows * columns)))
        return Grid(-(-y[0] // (-(-n_ranges // threads) * threads)), tile_rows, columns)
    best = max(1, wanted // columns)
    candidates = range(-(-best // 2), min(best * 3 // 2, most // columns, tile_rows) + 1)
    # Rows of tiles below the image are wasted; of equal waste, the largest range is the best.
    rows = min(candidates, key=lambda n: (-(-tile_rows // n) * n, -n))
    return Grid(1, rows, columns)


def tile_ranges(sizes: Sizes, grid: Grid, source: Layout, target: Layout) -> list[TileRange]:
    """Return all tile ranges, with their offsets in x and y of these layouts."""
    x, y, pad, group = sizes
    images, rows = grid.images, grid.rows * OUTPUTS
    ranges = []
    for g in range(group):
        for n in range(0, x[0], images):
            for row in range(0, y[2], rows):
                first = max(row - pad[0], 0)
                last = min(row - pad[0] + rows + TAPS - 1, x[2])
                inputs = (min(images, x[0] - n), last - first, max(pad[0] - row, 0))
                x_offset = source.offset((n, g * (x[1] // group), first, 0)) * FLOAT_BYTES
                y_offset = target.offset((n, g * (y[1] // group), row, 0)) * FLOAT_BYTES
                ranges.append(TileRange(g, *inputs, min(rows, y[2] - row), x_offset, y_offset))
    return ranges
