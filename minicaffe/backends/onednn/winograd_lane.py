"""The steps of Winograd's algorithm on one thread; see `winograd`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicaffe.backends.onednn._lib import Alg, Arg, Prop, Query, check
from minicaffe.backends.onednn.followers import Kind
from minicaffe.backends.onednn.memory import AnyLayout, Buffer, Cursor, Layout
from minicaffe.backends.onednn.primitive import Attributes, Port, Primitive
from minicaffe.backends.onednn.tensor import FLOAT_BYTES
from minicaffe.backends.onednn.toom_cook import Matrices, Matrix
from minicaffe.backends.onednn.workbench import Lane
from minicaffe.ops.backend import Array, Shape

# Along one axis: outputs of a tile, and inputs that they need.
OUTPUTS, SPAN = 4, 6
ZERO = np.float32(0)
NO_STEPS = ((1,), (0,), (0,), (0,))


class Block(NamedTuple):
    """What a piece holds at most: so many images, rows of tiles, and tiles in a row; and sizes."""

    images: int
    rows: int
    columns: int
    channels: int
    filters: int
    width: int
    out_width: int
    pad: int

    @property
    def tiles(self) -> int:
        """How many tiles."""
        return self.images * self.rows * self.columns


class Part(NamedTuple):
    """A piece: its group, what of it lies in the image, and where (in bytes)."""

    group: int
    images: int
    rows: int
    above: int
    out_rows: int
    at_x: int
    at_y: int


class WinogradLane:
    """The primitives and views of one thread, for pieces of one size.

    Each step reads one of the lane's buffers and writes the other.

    Parameters
    ----------
    lane : Lane
    block : Block
    matrices : Matrices
    kind : Kind
    numbers : sequence of Buffer
        Bias, factor and term, for every position and filter of every group.
    """

    def __init__(
        self,
        lane: Lane,
        block: Block,
        matrices: Matrices,
        kind: Kind,
        numbers: Sequence[Buffer],
    ) -> None:
        self._lane, self._block, self._numbers = lane, block, numbers
        self._engine = lane.engine.handle
        self._read = functools.cache(self._plan_read)
        self._write = functools.cache(self._plan_write)
        self._view()
        data, outputs = (np.kron(m, m) for m in (matrices.data, matrices.outputs))
        self._transform = self._plan_combine(data, block.channels)
        self._restore = self._plan_combine(outputs, block.filters)
        self._rectifies = kind.rectifies
        self._multiply = self._plan_multiply(kind)

    def prepare(self, part: Part, source: Layout, target: Layout) -> None:
        """Make what `run` needs for a part of these layouts; any lane may get any part."""
        self._read(source, part.images, part.rows, part.above)
        self._write(target, part.images, part.out_rows)

    def run(
        self, part: Part, source: Layout, target: Layout, given: int, filters: int, out: int
    ) -> None:
        """Compute one part.

        Parameters
        ----------
        part : Part
        source, target : Layout
            Of x and of y.
        given, filters, out : int
            Addresses of x, of the transformed filters and of y.
        """
        x, read = self._read(source, part.images, part.rows, part.above)
        x.move(given + part.at_x)
        check(read(), "reading rows")
        self._clear_padding(part)
        np.copyto(self._tiles, self._windows)
        check(self._transform(), "transform")
        self._point(part.group, filters)
        check(self._multiply(), "multiplication")
        check(self._restore(), "transform back")
        # As a post-op of the step before, it would run number by number.
        if self._rectifies:
            np.maximum(self._values, ZERO, out=self._values)
        np.copyto(self._joined, self._values)
        y, write = self._write(target, part.images, part.out_rows)
        y.move(out + part.at_y)
        check(write(), "writing rows")

    def _view(self) -> None:
        """Look at the buffers as rows of x, tiles, tiles of y and rows of y."""
        b, lane = self._block, self._lane
        tall, wide = OUTPUTS * b.rows + SPAN - OUTPUTS, OUTPUTS * b.columns + SPAN - OUTPUTS
        self._rows = _shaped(lane.far, (b.images, tall, wide, b.channels))
        windows = np.lib.stride_tricks.sliding_window_view(self._rows, (SPAN, SPAN), (1, 2))
        self._windows = windows[:, ::OUTPUTS, ::OUTPUTS].transpose(0, 1, 2, 4, 5, 3)
        self._tiles = _shaped(lane.near, self._windows.shape)
        grid = (b.images, b.rows, b.columns)
        self._values = _shaped(lane.far, (*grid, OUTPUTS, OUTPUTS, b.filters))
        self._out_rows = _shaped(
            lane.near, (b.images, OUTPUTS * b.rows, OUTPUTS * b.columns, b.filters)
        )
        split = (b.images, b.rows, OUTPUTS, b.columns, OUTPUTS, b.filters)
        self._joined = self._out_rows.reshape(split).swapaxes(2, 3)

    def _clear_padding(self, part: Part) -> None:
        """Zero what surrounds the image; the buffer held something else before."""
        rows, b = self._rows, self._block
        rows[:, : part.above] = 0
        rows[:, part.above + part.rows :] = 0
        rows[:, :, : b.pad] = 0
        rows[:, :, b.pad + b.width :] = 0

    def _plan_combine(self, matrix: Matrix, channels: int) -> Callable[[], int]:
        """Return the multiplication of each tile's positions by a matrix."""
        n_out, n_in = matrix.shape
        tiles, weights = self._block.tiles, (n_out, n_in, 1)
        given, out = (Layout.plain((tiles, n, channels)) for n in (n_in, n_out))
        primitive = Primitive(
            *(self._lane.engine, "convolution_forward", Prop.INFERENCE, Alg.CONVOLUTION_DIRECT),
            *(given, AnyLayout(weights), None, out, *NO_STEPS),
        )
        layout, plain = primitive.layout(Query.WEIGHTS, weights), Layout.plain(weights)
        values, packed = (Buffer(own.size_bytes, self._engine) for own in (plain, layout))
        values.values[: matrix.size] = matrix.reshape(-1)
        self._lane.reorders(plain, values.memory(plain), layout, packed.memory(layout))
        memories = (
            *(self._lane.near.memory(given), packed.memory(layout)),
            self._lane.far.memory(out),
        )
        run = primitive.bind((Arg.SRC, Arg.WEIGHTS, Arg.DST), memories)
        return functools.partial(_run_with, run, packed)

    def _plan_multiply(self, kind: Kind) -> Callable[[], int]:
        """Return the multiplication at all positions, each by its own filters."""
        b, positions = self._block, SPAN**2
        given, out = ((1, positions * n, 1, b.tiles) for n in (b.channels, b.filters))
        weights = (positions, b.filters, b.channels, 1, 1)
        scales = Layout.plain((1, positions * b.filters, 1, 1))
        after = Attributes()
        if kind.scales:
            after.binary(Alg.BINARY_MUL, scales).binary(Alg.BINARY_ADD, scales)
        bias = Layout.plain((positions * b.filters,))
        x, y = _channels_last(given), _channels_last(out)
        primitive = Primitive(
            *(self._lane.engine, "convolution_forward", Prop.INFERENCE, Alg.CONVOLUTION_DIRECT),
            *(x, AnyLayout(weights), bias, y, (1, 1), (0, 0), (0, 0), (0, 0)),
            attributes=after,
        )
        self.filters = primitive.layout(Query.WEIGHTS, weights)
        self._factors = Cursor(self._engine, self.filters)
        places: list[Port] = [(Arg.BIAS, bias)]
        if kind.scales:
            places += [(Arg.POST_OP * (i + 1) | Arg.SRC_1, scales) for i in range(2)]
        self._places = [Cursor(self._engine, layout) for _, layout in places]
        fixed = (self._lane.far.memory(x), self._factors.handle, self._lane.near.memory(y))
        return primitive.bind(
            (Arg.SRC, Arg.WEIGHTS, Arg.DST, *(arg for arg, _ in places)),
            (*fixed, *(place.handle for place in self._places)),
        )

    def _point(self, group: int, filters: int) -> None:
        """Have the multiplication read what belongs to a group."""
        self._factors.move(filters + group * self.filters.size_bytes)
        step = SPAN**2 * self._block.filters * FLOAT_BYTES
        for place, buffer in zip(self._places, self._numbers, strict=False):
            place.move(buffer.address + group * step)

    def _plan_read(
        self, source: Layout, images: int, rows: int, above: int
    ) -> tuple[Cursor, Callable[[], int]]:
        b = self._block
        shape = (images, b.channels, rows, b.width)
        _, tall, wide, _ = self._rows.shape
        inside = above * wide + b.pad
        own = Layout.strided(shape, (tall * wide * b.channels, 1, wide * b.channels, b.channels))
        x = Cursor(self._engine, source.place(shape, (0, 0, 0, 0)))
        kept = Cursor(self._engine, own, self._lane.far.address + inside * b.channels * FLOAT_BYTES)
        return x, self._plan_copy(x, kept)

    def _plan_write(
        self, target: Layout, images: int, rows: int
    ) -> tuple[Cursor, Callable[[], int]]:
        b = self._block
        shape = (images, b.filters, rows, b.out_width)
        _, tall, wide, _ = self._out_rows.shape
        own = Layout.strided(shape, (tall * wide * b.filters, 1, wide * b.filters, b.filters))
        y = Cursor(self._engine, target.place(shape, (0, 0, 0, 0)))
        return y, self._plan_copy(Cursor(self._engine, own, self._lane.near.address), y)

    def _plan_copy(self, source: Cursor, target: Cursor) -> Callable[[], int]:
        handle = self._lane.engine.handle
        primitive = Primitive(
            *(self._lane.engine, "reorder", source.layout, handle, target.layout, handle)
        )
        run = primitive.bind((Arg.SRC, Arg.DST), (source.handle, target.handle))
        return functools.partial(_run_with, run, (source, target))


def _run_with(run: Callable[[], int], _held: Any) -> int:
    """Run, and keep alive what is read."""
    return run()


def _shaped(buffer: Buffer, shape: Shape) -> Array:
    """Return the beginning of a buffer as an array."""
    size = int(np.prod(shape))
    return buffer.values[:size].reshape(shape)


def _channels_last(shape: Shape) -> Layout:
    """Return the layout of (1, C, 1, W) with a pixel's channels side by side."""
    _, channels, _, width = shape
    return Layout.strided(shape, (channels * width, 1, channels * width, channels))
