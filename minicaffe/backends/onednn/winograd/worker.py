"""The steps of Winograd's algorithm on one thread; see `winograd`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minicaffe.backends.onednn.kernels._epilogue import Kind
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop, Query, check
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Buffer, Cursor, Layout
from minicaffe.backends.onednn.runtime.primitive import Attributes, Port, Primitive
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES
from minicaffe.backends.onednn.runtime.workers import Lane
from minicaffe.backends.onednn.winograd.blocks import Part
from minicaffe.backends.onednn.winograd.tiles import (
    OUTPUTS,
    SPAN,
    Grid,
    Place,
    TileReader,
    channels_last,
    plan_copy,
    plan_product,
)
from minicaffe.backends.onednn.winograd.toom_cook import Matrices

ZERO = np.float32(0)


class Block(NamedTuple):
    """The largest piece, and of what: channels in and out, columns in and out, padding left."""

    grid: Grid
    channels: int
    filters: int
    width: int
    out_width: int
    pad: int


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
        self._rectifies = kind.rectifies
        self._write = functools.cache(self._plan_write)
        near, far, grid = Place(lane.near), Place(lane.far), block.grid
        self._read = TileReader(
            *(lane, grid, SPAN, (block.channels, block.width, block.pad), far),
            near.shaped((*grid, SPAN, SPAN, block.channels)),
        )
        data, outputs = (np.kron(m, m) for m in (matrices.data, matrices.outputs))
        self._transform = plan_product(lane, data, grid.tiles, block.channels, near, far)
        self._multiply = self._plan_multiply(kind)
        self._restore = plan_product(lane, outputs, grid.tiles, block.filters, near, far)
        self._values = far.shaped((*grid, OUTPUTS, OUTPUTS, block.filters))
        images, rows, columns = grid
        self._rows = near.shaped((images, OUTPUTS * rows, OUTPUTS * columns, block.filters))
        split = (images, rows, OUTPUTS, columns, OUTPUTS, block.filters)
        self._joined = self._rows.reshape(split).swapaxes(2, 3)

    def prepare(self, part: Part, source: Layout, target: Layout) -> None:
        """Make what `run` needs for a part of these layouts; any lane may get any part."""
        self._read.plan(source, part.images, part.rows, part.above)
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
        self._read(source, given + part.at_x, part.images, part.rows, part.above)
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

    def _plan_multiply(self, kind: Kind) -> Callable[[], int]:
        """Return the multiplication at all positions, each by its own filters."""
        b, positions, engine = self._block, SPAN**2, self._lane.engine.handle
        x, y = (_one_row(positions * n, b.grid.tiles) for n in (b.channels, b.filters))
        weights = (positions, b.filters, b.channels, 1, 1)
        scales = Layout.plain((1, positions * b.filters, 1, 1))
        after = Attributes()
        if kind.scales:
            after.binary(Alg.BINARY_MUL, scales).binary(Alg.BINARY_ADD, scales)
        bias = Layout.plain((positions * b.filters,))
        primitive = Primitive(
            *(self._lane.engine, "convolution_forward", Prop.INFERENCE, Alg.CONVOLUTION_DIRECT),
            *(x, AnyLayout(weights), bias, y, (1, 1), (0, 0), (0, 0), (0, 0)),
            attributes=after,
        )
        self.filters = primitive.layout(Query.WEIGHTS, weights)
        self._factors = Cursor(engine, self.filters)
        places: list[Port] = [(Arg.BIAS, bias)]
        if kind.scales:
            places += [(Arg.POST_OP * (i + 1) | Arg.SRC_1, scales) for i in range(2)]
        self._places = [Cursor(engine, layout) for _, layout in places]
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

    def _plan_write(
        self, target: Layout, images: int, rows: int
    ) -> tuple[Cursor, Callable[[], int]]:
        shape, engine = (
            (images, self._block.filters, rows, self._block.out_width),
            self._lane.engine,
        )
        y = Cursor(engine.handle, target.place(shape, (0, 0, 0, 0)))
        own = channels_last(shape, self._rows.shape)
        return y, plan_copy(self._lane, Cursor(engine.handle, own, self._lane.near.address), y)


def _one_row(channels: int, width: int) -> Layout:
    """Return the layout of (1, C, 1, W) with a pixel's channels side by side."""
    return channels_last((1, channels, 1, width), (1, 1, width, channels))
