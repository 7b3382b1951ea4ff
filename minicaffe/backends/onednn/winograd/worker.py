"""The steps of Winograd's algorithm on one worker; see `winograd.forward`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.runtime.call import Port
from minicaffe.backends.onednn.runtime.library import Alg, Arg, Prop, Query, check_onednn
from minicaffe.backends.onednn.runtime.memory import AnyLayout, Buffer, Layout, MemoryCursor
from minicaffe.backends.onednn.runtime.primitive import Attributes, EpilogueKind, Primitive
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES
from minicaffe.backends.onednn.runtime.workers import Worker
from minicaffe.backends.onednn.winograd.blocks import TileRange
from minicaffe.backends.onednn.winograd.tiles import (
    OUTPUTS,
    SPAN,
    Grid,
    TileOffset,
    TileReader,
    channels_last,
    plan_copy,
    plan_product,
)
from minicaffe.backends.onednn.winograd.toom_cook import Matrices

ZERO = np.float32(0)


class TileBlock(NamedTuple):
    """The largest tile range: grid, channels and columns of x and of y, left padding."""

    grid: Grid
    channels: int
    filters: int
    width: int
    out_width: int
    pad: int


class WinogradWorker:
    """The primitives and array views of one worker, for tile ranges of one size.

    Parameters
    ----------
    worker : Worker
    block : TileBlock
    matrices : Matrices
    kind : EpilogueKind
    numbers : sequence of Buffer
        Bias, factor and term, for each position and filter of all groups.
    """

    def __init__(
        self,
        worker: Worker,
        block: TileBlock,
        matrices: Matrices,
        kind: EpilogueKind,
        numbers: Sequence[Buffer],
    ) -> None:
        self._worker, self._block, self._numbers = worker, block, numbers
        self._rectifies = kind.rectifies
        self._write = cache_method(self._plan_write)
        ping, pong, grid = TileOffset(worker.ping), TileOffset(worker.pong), block.grid
        self._read = TileReader(
            *(worker, grid, SPAN, (block.channels, block.width, block.pad), pong),
            ping.shaped((*grid, SPAN, SPAN, block.channels)),
        )
        data, outputs = (np.kron(m, m) for m in (matrices.data, matrices.outputs))
        self._transform = plan_product(worker, data, grid.tiles, block.channels, ping, pong)
        self._multiply = self._plan_multiply(kind)
        self._restore = plan_product(worker, outputs, grid.tiles, block.filters, ping, pong)
        self._values = pong.shaped((*grid, OUTPUTS, OUTPUTS, block.filters))
        images, rows, columns = grid
        self._rows = ping.shaped((images, OUTPUTS * rows, OUTPUTS * columns, block.filters))
        split = (images, rows, OUTPUTS, columns, OUTPUTS, block.filters)
        self._joined = self._rows.reshape(split).swapaxes(2, 3)

    def prepare(self, tiles: TileRange, source: Layout, target: Layout) -> None:
        """Create the primitives that `run` needs for a tile range of these layouts."""
        self._read.plan(source, tiles.images, tiles.rows, tiles.above)
        self._write(target, tiles.images, tiles.out_rows)

    def run(
        self, tiles: TileRange, source: Layout, target: Layout, x: int, filters: int, y: int
    ) -> None:
        """Compute one tile range.

        Parameters
        ----------
        tiles : TileRange
        source, target : Layout
            Of x and of y.
        x, filters, y : int
            Addresses of x, of the transformed filters and of y.
        """
        self._read(source, x + tiles.x_offset, tiles.images, tiles.rows, tiles.above)
        check_onednn(self._transform(), "transform")
        self._select_group(tiles.group, filters)
        check_onednn(self._multiply(), "multiplication")
        check_onednn(self._restore(), "transform back")
        # As a post-op of the previous step it would not be vectorised.
        if self._rectifies:
            np.maximum(self._values, ZERO, out=self._values)
        np.copyto(self._joined, self._values)
        cursor, write = self._write(target, tiles.images, tiles.out_rows)
        cursor.move(y + tiles.y_offset)
        check_onednn(write(), "writing rows")

    def _plan_multiply(self, kind: EpilogueKind) -> Callable[[], int]:
        """Return the products at all positions, each with its own filters."""
        b, positions, engine = self._block, SPAN**2, self._worker.engine.handle
        x, y = (_one_row(positions * n, b.grid.tiles) for n in (b.channels, b.filters))
        weights = (positions, b.filters, b.channels, 1, 1)
        scales = Layout.plain((1, positions * b.filters, 1, 1))
        post_ops = Attributes()
        if kind.scales:
            post_ops.binary(Alg.BINARY_MUL, scales).binary(Alg.BINARY_ADD, scales)
        bias = Layout.plain((positions * b.filters,))
        primitive = Primitive(
            *(self._worker.engine, "convolution_forward", Prop.INFERENCE, Alg.CONVOLUTION_DIRECT),
            *(x, AnyLayout(weights), bias, y, (1, 1), (0, 0), (0, 0), (0, 0)),
            attributes=post_ops,
        )
        self.filters = primitive.layout(Query.WEIGHTS, weights)
        self._filters = MemoryCursor(engine, self.filters)
        ports: list[Port] = [(Arg.BIAS, bias)]
        if kind.scales:
            ports += [(Arg.POST_OP * (i + 1) | Arg.SRC_1, scales) for i in range(2)]
        self._number_cursors = [MemoryCursor(engine, layout) for _, layout in ports]
        memories = (self._worker.pong.memory(x), self._filters.handle, self._worker.ping.memory(y))
        return primitive.bind(
            (Arg.SRC, Arg.WEIGHTS, Arg.DST, *(arg for arg, _ in ports)),
            (*memories, *(cursor.handle for cursor in self._number_cursors)),
        )

    def _select_group(self, group: int, filters: int) -> None:
        """Set the addresses of the filters and numbers that the products read."""
        self._filters.move(filters + group * self.filters.size_bytes)
        step = SPAN**2 * self._block.filters * FLOAT_BYTES
        for cursor, buffer in zip(self._number_cursors, self._numbers, strict=False):
            cursor.move(buffer.address + group * step)

    def _plan_write(
        self, target: Layout, images: int, rows: int
    ) -> tuple[MemoryCursor, Callable[[], int]]:
        shape = (images, self._block.filters, rows, self._block.out_width)
        engine = self._worker.engine
        y = MemoryCursor(engine.handle, target.submemory(shape, (0, 0, 0, 0)))
        own = channels_last(shape, self._rows.shape)
        return y, plan_copy(
            self._worker, MemoryCursor(engine.handle, own, self._worker.ping.address), y
        )


def _one_row(channels: int, width: int) -> Layout:
    """Return the layout of (1, C, 1, W) with channels last."""
    return channels_last((1, channels, 1, width), (1, 1, width, channels))
