"""Rows of images to tiles, and tiles times a matrix: steps of Winograd's algorithm."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop, Query, check
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Buffer, Cursor, Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES
from minicaffe.backends.onednn.runtime.workers import Lane
from minicaffe.backends.onednn.winograd.toom_cook import Matrix
from minicaffe.ops.backend import Array, Shape

# Along one axis: outputs of a tile, taps of a filter, and inputs that the outputs need.
OUTPUTS, TAPS = 4, 3
SPAN = OUTPUTS + TAPS - 1
NO_STEPS = ((1,), (0,), (0,), (0,))


class Grid(NamedTuple):
    """What a piece holds at most: so many images, rows of tiles, and tiles in a row."""

    images: int
    rows: int
    columns: int

    @property
    def tiles(self) -> int:
        """How many tiles."""
        return self.images * self.rows * self.columns


class Place(NamedTuple):
    """Some values of a buffer, from an offset on."""

    buffer: Buffer
    offset: int = 0

    @property
    def address(self) -> int:
        """Where they begin."""
        return self.buffer.address + self.offset * FLOAT_BYTES

    def shaped(self, shape: Shape) -> Array:
        """Return the first of them as an array."""
        return self.buffer.values[self.offset :][: int(np.prod(shape))].reshape(shape)


class TileReader:
    """Reads rows of a tensor and cuts them into tiles that overlap by what they have too many.

    Parameters
    ----------
    lane : Lane
    grid : Grid
    span : int
        Rows and columns of a tile.
    image : tuple of int
        Channels, columns and padding on the left of what is read.
    rows : Place
        Where rows are kept, channels last.
    tiles : array (images, rows, columns, span, span, channels)
        Overwritten.
    """

    def __init__(
        self,
        lane: Lane,
        grid: Grid,
        span: int,
        image: tuple[int, int, int],
        rows: Place,
        tiles: Array,
    ) -> None:
        self._lane, self._place, self._tiles = lane, rows, tiles
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
            How many images and rows are read, and how many rows of zeros lie above.
        """
        given, read = self.plan(layout, images, rows, above)
        given.move(address)
        check(read(), "reading rows")
        # The memory held something else before.
        self.rows[images:] = 0
        self.rows[:, :above] = 0
        self.rows[:, above + rows :] = 0
        self.rows[:, :, : self._pad] = 0
        self.rows[:, :, self._pad + self._width :] = 0
        np.copyto(self._tiles, self._windows)

    def _plan(
        self, layout: Layout, images: int, rows: int, above: int
    ) -> tuple[Cursor, Callable[[], int]]:
        shape, engine = (images, self._channels, rows, self._width), self._lane.engine.handle
        inside = (above * self.rows.shape[2] + self._pad) * self._channels * FLOAT_BYTES
        given = Cursor(engine, layout.place(shape, (0, 0, 0, 0)))
        own = Cursor(engine, channels_last(shape, self.rows.shape), self._place.address + inside)
        return given, plan_copy(self._lane, given, own)


def channels_last(shape: Shape, room: Shape) -> Layout:
    """Return the layout of (N, C, H, W) inside (N', H', W', C) in C order."""
    _, tall, wide, channels = room
    return Layout.strided(shape, (tall * wide * channels, 1, wide * channels, channels))


def plan_copy(lane: Lane, source: Cursor, target: Cursor) -> Callable[[], int]:
    """Return the copy from one cursor to the other."""
    engine = lane.engine
    primitive = Primitive(
        engine, "reorder", source.layout, engine.handle, target.layout, engine.handle
    )
    run = primitive.bind((Arg.SRC, Arg.DST), (source.handle, target.handle))
    return functools.partial(_run_with, run, (source, target))


def plan_product(
    lane: Lane, matrix: Matrix, tiles: int, channels: int, given: Place, out: Place
) -> Callable[[], int]:
    """Return the product of a matrix (m, n) with each tile's n positions, for every channel."""
    n_out, n_in = matrix.shape
    weights, engine = (n_out, n_in, 1), lane.engine.handle
    source, target = (Layout.plain((tiles, n, channels)) for n in (n_in, n_out))
    primitive = Primitive(
        *(lane.engine, "convolution_forward", Prop.INFERENCE, Alg.CONVOLUTION_DIRECT),
        *(source, AnyLayout(weights), None, target, *NO_STEPS),
    )
    layout, plain = primitive.layout(Query.WEIGHTS, weights), Layout.plain(weights)
    values, packed = (Buffer(own.size_bytes, engine) for own in (plain, layout))
    values.values[: matrix.size] = matrix.reshape(-1)
    lane.reorders(plain, values.memory(plain), layout, packed.memory(layout))
    x, y = Cursor(engine, source, given.address), Cursor(engine, target, out.address)
    memories = (x.handle, packed.memory(layout), y.handle)
    run = primitive.bind((Arg.SRC, Arg.WEIGHTS, Arg.DST), memories)
    return functools.partial(_run_with, run, (x, packed, y))


def _run_with(run: Callable[[], int], _held: Any) -> int:
    """Run, and keep alive what is read and written."""
    return run()
