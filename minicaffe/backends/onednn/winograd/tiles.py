"""Extraction of tiles from image rows, and transforms of tiles: steps of Winograd's algorithm."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop, Query, check_onednn
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Buffer, Layout, MemoryCursor
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES
from minicaffe.backends.onednn.runtime.workers import Worker
from minicaffe.backends.onednn.winograd.toom_cook import Matrix
from minicaffe.ops.backend import Array, Shape

# Along one axis: outputs of a tile, taps of a filter, and inputs of a tile.
OUTPUTS, TAPS = 4, 3
SPAN = OUTPUTS + TAPS - 1
# Stride 1, no dilation, no padding.
POINTWISE_STEPS = ((1,), (0,), (0,), (0,))


class Grid(NamedTuple):
    """The size of the largest tile range: images, rows of tiles, and tiles in a row."""

    images: int
    rows: int
    columns: int

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.images * self.rows * self.columns


class TileOffset(NamedTuple):
    """The values of a buffer from an offset on."""

    buffer: Buffer
    offset: int = 0

    @property
    def address(self) -> int:
        """Address of the first value."""
        return self.buffer.address + self.offset * FLOAT_BYTES

    def shaped(self, shape: Shape) -> Array:
        """Return the first values as an array of this shape."""
        return self.buffer.values[self.offset :][: int(np.prod(shape))].reshape(shape)


class TileReader:
    """Reads rows of a tensor and extracts tiles that overlap by ``span - OUTPUTS``.

    Parameters
    ----------
    worker : Worker
    grid : Grid
    span : int
        Rows and columns of a tile.
    image : tuple of int
        Channels, columns and left padding of the image.
    rows : TileOffset
        Scratch memory for the rows, channels last.
    tiles : array (images, rows, columns, span, span, channels)
        Overwritten.
    """

    def __init__(
        self,
        worker: Worker,
        grid: Grid,
        span: int,
        image: tuple[int, int, int],
        rows: TileOffset,
        tiles: Array,
    ) -> None:
        self._worker, self._scratch, self._tiles = worker, rows, tiles
        self._channels, self._width, self._pad = image
        tall, wide = (OUTPUTS * n + span - OUTPUTS for n in grid[1:])
        self.rows = rows.shaped((grid.images, tall, wide, self._channels))
        windows = np.lib.stride_tricks.sliding_window_view(self.rows, (span, span), (1, 2))
        self._windows = windows[:, ::OUTPUTS, ::OUTPUTS].transpose(0, 1, 2, 4, 5, 3)
        self.plan = cache_method(self._plan)

    def __call__(self, layout: Layout, address: int, images: int, rows: int, above: int) -> None:
        """Overwrite the tiles.

        Parameters
        ----------
        layout : Layout
        address : int
            Of the first value that is read.
        images, rows, above : int
            Numbers of images and rows that are read, and of zero rows above them.
        """
        source, read = self.plan(layout, images, rows, above)
        source.move(address)
        check_onednn(read(), "reading rows")
        # Clear the padding, because the scratch memory had other contents.
        self.rows[images:] = 0
        self.rows[:, :above] = 0
        self.rows[:, above + rows :] = 0
        self.rows[:, :, : self._pad] = 0
        self.rows[:, :, self._pad + self._width :] = 0
        np.copyto(self._tiles, self._windows)

    def _plan(
        self, layout: Layout, images: int, rows: int, above: int
    ) -> tuple[MemoryCursor, Callable[[], int]]:
        shape, engine = (images, self._channels, rows, self._width), self._worker.engine.handle
        inside = (above * self.rows.shape[2] + self._pad) * self._channels * FLOAT_BYTES
        source = MemoryCursor(engine, layout.submemory(shape, (0, 0, 0, 0)))
        rows_layout = channels_last(shape, self.rows.shape)
        target = MemoryCursor(engine, rows_layout, self._scratch.address + inside)
        return source, plan_copy(self._worker, source, target)


def channels_last(shape: Shape, room: Shape) -> Layout:
    """Return the layout of (N, C, H, W) within a C-ordered (N', H', W', C)."""
    _, tall, wide, channels = room
    return Layout.strided(shape, (tall * wide * channels, 1, wide * channels, channels))


def plan_copy(worker: Worker, source: MemoryCursor, target: MemoryCursor) -> Callable[[], int]:
    """Return a function that copies from one cursor to the other."""
    engine = worker.engine
    primitive = Primitive(
        engine, "reorder", source.layout, engine.handle, target.layout, engine.handle
    )
    run = primitive.bind((Arg.SRC, Arg.DST), (source.handle, target.handle))
    return functools.partial(_run_with, run, (source, target))


def plan_product(
    worker: Worker, matrix: Matrix, tiles: int, channels: int, source: TileOffset, out: TileOffset
) -> Callable[[], int]:
    """Return the product of a matrix (m, n) with the n positions of each tile, for each channel."""
    n_out, n_in = matrix.shape
    weights, engine = (n_out, n_in, 1), worker.engine.handle
    x_layout, y_layout = (Layout.plain((tiles, n, channels)) for n in (n_in, n_out))
    primitive = Primitive(
        *(worker.engine, "convolution_forward", Prop.INFERENCE, Alg.CONVOLUTION_DIRECT),
        *(x_layout, AnyLayout(weights), None, y_layout, *POINTWISE_STEPS),
    )
    layout, plain = primitive.layout(Query.WEIGHTS, weights), Layout.plain(weights)
    values, packed = (Buffer(own.size_bytes, engine) for own in (plain, layout))
    values.values[: matrix.size] = matrix.reshape(-1)
    worker.reorders(plain, values.memory(plain), layout, packed.memory(layout))
    x = MemoryCursor(engine, x_layout, source.address)
    y = MemoryCursor(engine, y_layout, out.address)
    memories = (x.handle, packed.memory(layout), y.handle)
    run = primitive.bind((Arg.SRC, Arg.WEIGHTS, Arg.DST), memories)
    return functools.partial(_run_with, run, (x, packed, y))


def _run_with(run: Callable[[], int], _owners: object) -> int:
    """Run a function; the partial object keeps alive the owners of the memory that it uses."""
    return run()
