"""How Winograd's algorithm cuts images into pieces; see `winograd`."""

from __future__ import annotations

from typing import NamedTuple

from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES
from minicaffe.backends.onednn.winograd.tiles import OUTPUTS, TAPS, Grid
from minicaffe.ops.backend import Shape


class Sizes(NamedTuple):
    """What is correlated: x with filters, padded by so many rows and columns, to y."""

    x: Shape
    y: Shape
    pad: Shape
    group: int


class Part(NamedTuple):
    """A piece: its group, what of it lies in the image, and where (in bytes)."""

    group: int
    images: int
    rows: int
    above: int
    out_rows: int
    at_x: int
    at_y: int


def tile_grid(y: Shape) -> tuple[int, int]:
    """Return how many tiles cover the rows and the columns of (N, K, rows, columns)."""
    return -(-y[2] // OUTPUTS), -(-y[3] // OUTPUTS)


def cut(y: Shape, wanted: int, most: int, threads: int) -> Grid:
    """Return a piece of about as many tiles as wanted, such that all threads have some."""
    tile_rows, columns = tile_grid(y)
    wanted = min(wanted, -(-y[0] * tile_rows * columns // threads))
    if wanted >= tile_rows * columns:
        pieces = -(-y[0] // (wanted // (tile_rows * columns)))
        return Grid(-(-y[0] // (-(-pieces // threads) * threads)), tile_rows, columns)
    best = max(1, wanted // columns)
    candidates = range(-(-best // 2), min(best * 3 // 2, most // columns, tile_rows) + 1)
    # Rows of tiles below the image are computed in vain; of equal waste, the larger pieces.
    rows = min(candidates, key=lambda n: (-(-tile_rows // n) * n, -n))
    return Grid(1, rows, columns)


def parts_of(sizes: Sizes, grid: Grid, source: Layout, target: Layout) -> list[Part]:
    """Return all pieces, with their places in x and y of these layouts."""
    x, y, pad, group = sizes
    images, rows = grid.images, grid.rows * OUTPUTS
    parts = []
    for g in range(group):
        for n in range(0, x[0], images):
            for row in range(0, y[2], rows):
                first = max(row - pad[0], 0)
                last = min(row - pad[0] + rows + TAPS - 1, x[2])
                cut_out = (min(images, x[0] - n), last - first, max(pad[0] - row, 0))
                at_x = source.offset((n, g * (x[1] // group), first, 0))
                at_y = target.offset((n, g * (y[1] // group), row, 0))
                left = min(rows, y[2] - row)
                parts.append(Part(g, *cut_out, left, at_x * FLOAT_BYTES, at_y * FLOAT_BYTES))
    return parts
