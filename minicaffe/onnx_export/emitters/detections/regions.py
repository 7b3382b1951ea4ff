"""Pooling inside regions of interest.

MaxRoiPool and RoiAlign are not used: their bins and samples are not those of Caffe's layers, and
runtimes lack the first one in newer operator sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minicaffe.onnx_export.backend import Emitter, OpT, emitter
from minicaffe.onnx_export.drawn_inputs import RegionRows
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.ops.backend import Tensor
from minicaffe.ops.rois.roi_pooling import PsRoiAveragePool, RoiMaxPool
from minicaffe.ops.rois.roi_sampling import RoiGridSample

_INT64, _FLOAT = 7, 1  # types of ONNX


@dataclass(frozen=True)
class _Side:
    """The first and the last pixel of regions along an axis, both (R, 1), of the input image."""

    first: str
    last: str


def _rounded(graph: OnnxGraph, value: str) -> str:
    """Return the nearest whole numbers, halves away from zero; ONNX's Round takes even ones."""
    magnitude = graph.one("Floor", graph.plus(graph.one("Abs", value), 0.5))
    return graph.one("Mul", graph.one("Sign", value), magnitude)


def _between(graph: OnnxGraph, value: str, low: float, high: float) -> str:
    return graph.one("Min", graph.one("Max", value, graph.reals(low)), graph.reals(high))


class _RegionEmitter(Emitter[OpT]):
    """What layers over regions share; arrays of a side have the shape (R, cells)."""

    def _sides(
        self, x: Tensor, rois: Tensor, scale: float, pad_ratio: float = 0.0
    ) -> tuple[str, _Side, _Side]:
        """Return the images (R, 1), rows and columns of regions."""
        self.mark_sensitive(is_magnifying=False)
        graph = self.graph
        given = self.read(rois)
        graph.expect(given, RegionRows(x.shape[0], (x.shape[2] / scale, x.shape[3] / scale)))
        values = graph.split(self.read(rois, (rois.shape[0], 5)), [1] * 5, 1)
        sides = [_Side(values[k], values[k + 2]) for k in (2, 1)]
        if pad_ratio:
            sides = [self._with_border(side, pad_ratio) for side in sides]
        return values[0], sides[0], sides[1]

    def _with_border(self, side: _Side, ratio: float) -> _Side:
        """Return the side moved outwards by a share of its pixels."""
        graph = self.graph
        pixels = graph.plus(graph.one("Sub", side.last, side.first), 1)
        border = graph.times(pixels, ratio)
        return _Side(graph.one("Sub", side.first, border), graph.one("Add", side.last, border))

    def _bins(self, start: str, size: str, n: int, limit: int) -> tuple[str, str]:
        """Return the first pixel of n bins and the one behind the last, cut to the map."""
        graph = self.graph
        steps = np.arange(n + 1)
        ends = [
            graph.one("Div", graph.one("Mul", size, graph.reals(k)), graph.reals(n))
            for k in (steps[None, :-1], steps[None, 1:])
        ]
        low, high = (graph.one("Add", start, end) for end in ends)
        bounds = graph.one("Floor", low), graph.one("Ceil", high)
        return _between(graph, bounds[0], 0, limit), _between(graph, bounds[1], 0, limit)

    def _places(self, parts: list[str], factors: list[int]) -> str:
        """Return the sum of whole numbers times factors, (R, rows, columns), as int64.

        Parts are (R, 1), of rows (R, rows) or of columns (R, columns), in turn.
        """
        graph = self.graph
        terms = []
        for k, (part, factor) in enumerate(zip(parts, factors, strict=True)):
            number = graph.one("Mul", graph.one("Cast", part, to=_INT64), graph.integers(factor))
            terms.append(graph.unsqueeze(number, [1 if k == 2 else 2]))
        rows = graph.one("Add", terms[0], terms[1])
        return graph.one("Add", rows, terms[2])


@emitter(RoiMaxPool)
class RoiMaxPoolEmitter(_RegionEmitter[RoiMaxPool]):
    """The maximum of two by two windows whose sides are powers of two, which cover a bin.

    MaxPool gives the maxima of all such windows. Gather takes them, so that the memory does not
    grow with the size of regions.
    """

    def forward(self, x: Tensor, rois: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        op, graph, size = self.op, self.graph, x.shape[2:]
        image, *sides = self._sides(x, rois, op.scale, op.pad_ratio)
        rows, columns = (
            self._windows(side, n, limit)
            for side, n, limit in zip(sides, op.bins, size, strict=True)
        )
        levels = [int(math.log2(limit)) + 1 for limit in size]
        table, n_pixels = self._table(x, levels), math.prod(size)
        best = ""
        for row in rows.starts:
            for column in columns.starts:
                # Row and column, each with its level.
                in_rows = self._along(rows.level, row, levels[1] * n_pixels, size[1])
                in_columns = self._along(columns.level, column, n_pixels, 1)
                places = self._places(
                    [image, in_rows, in_columns], [math.prod(levels) * n_pixels, 1, 1]
                )
                found = graph.one("Gather", table, places, axis=0)
                best = graph.one("Max", best, found) if best else found
        empty = graph.one(
            "Or",
            graph.unsqueeze(rows.is_empty, [2, 3]),
            graph.unsqueeze(columns.is_empty, [1, 3]),
        )
        pooled = graph.one("Where", empty, graph.reals(0), best)
        self.write(y, graph.one("Transpose", pooled, perm=[0, 3, 1, 2]))

    def _along(self, level: str, pixel: str, of_level: int, of_pixel: int) -> str:
        graph = self.graph
        levels = graph.one("Mul", level, graph.integers(of_level))
        pixels = graph.one("Mul", graph.one("Cast", pixel, to=_INT64), graph.integers(of_pixel))
        return graph.one("Add", levels, pixels)

    def _windows(self, side: _Side, n: int, limit: int) -> _Windows:
        """Return the windows that cover the bins along an axis."""
        op, graph = self.op, self.graph
        start = _rounded(graph, graph.times(side.first, op.scale))
        end = _rounded(graph, graph.times(side.last, op.scale))
        size = graph.plus(graph.one("Sub", end, start), 1)
        size = graph.one("Max", size, graph.reals(1))
        low, high = self._bins(start, size, n, limit)
        count = graph.one("Sub", high, low)
        level, width = graph.integers([[0]]), graph.reals([[1.0]])
        for k in range(1, int(math.log2(limit)) + 1):
            is_less = graph.one("Less", count, graph.reals(2**k))
            is_more = graph.one("Not", is_less)
            level = graph.one("Add", level, graph.one("Cast", is_more, to=_INT64))
            extra = graph.times(graph.one("Cast", is_more, to=_FLOAT), 2 ** (k - 1))
            width = graph.one("Add", width, extra)
        starts = low, graph.one("Sub", high, width)
        first, second = (_between(graph, value, 0, limit - 1) for value in starts)
        return _Windows(level, (first, second), graph.one("Less", count, graph.reals(1)))

    def _table(self, x: Tensor, levels: list[int]) -> str:
        """Return the maxima of windows, (N * levels * H * W, C)."""
        graph, value, tables = self.graph, self.read(x), []
        for row_level in range(levels[0]):
            for column_level in range(levels[1]):
                kernel = [2**row_level, 2**column_level]
                ends = [0, 0, kernel[0] - 1, kernel[1] - 1]
                found = graph.one("MaxPool", value, kernel_shape=kernel, pads=ends)
                tables.append(graph.unsqueeze(found, [1]))
        joined = graph.one("Transpose", graph.joined(tables, 1), perm=[0, 1, 3, 4, 2])
        return graph.reshape(joined, [-1, x.shape[1]])


@dataclass(frozen=True)
class _Windows:
    """Two windows along an axis that cover each bin, (R, bins).

    Parameters
    ----------
    level : str
        Logarithm of the size of both.
    starts : tuple of str
    is_empty : str
        Whether the bin has no pixel.
    """

    level: str
    starts: tuple[str, str]
    is_empty: str


@emitter(PsRoiAveragePool)
class PsRoiAveragePoolEmitter(_RegionEmitter[PsRoiAveragePool]):
    """Products with matrices: the mean over rows for each bin, then the mean over columns."""

    def forward(self, x: Tensor, rois: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        graph, (n, _, rows, columns), (_, d, g, _) = self.graph, x.shape, y.shape
        image, *sides = self._sides(x, rois, self.op.scale)
        in_rows, in_columns = (
            self._shares(side, limit) for side, limit in zip(sides, (rows, columns), strict=True)
        )
        images = graph.one("Cast", graph.samples(self.read(x)), to=_FLOAT)
        # Equal takes whole numbers in old operator sets.
        is_of_image = graph.one(
            "Equal", *(graph.one("Cast", value, to=_INT64) for value in (image, images))
        )
        of_image = graph.unsqueeze(graph.one("Cast", is_of_image, to=_FLOAT), [1, 3])
        weights = graph.one("Mul", graph.unsqueeze(in_rows, [2]), of_image)
        weights = graph.one("Transpose", graph.reshape(weights, [0, g, -1]), perm=[1, 0, 2])
        maps = graph.one(
            "Transpose",
            graph.reshape(self.read(x), [n, d, g, g, rows, columns]),
            perm=[2, 3, 0, 4, 1, 5],
        )
        maps = graph.reshape(maps, [g, g, -1, d * columns])
        over_rows = graph.one("MatMul", graph.unsqueeze(weights, [1]), maps)
        over_rows = graph.reshape(over_rows, [g, g, -1, d, columns])
        turned = graph.one("Transpose", in_columns, perm=[1, 0, 2])
        products = graph.one("Mul", over_rows, graph.unsqueeze(turned, [2]))
        means = graph.reduce("ReduceSum", products, [4])
        self.write(y, graph.one("Transpose", means, perm=[2, 3, 0, 1]))

    def _shares(self, side: _Side, limit: int) -> str:
        """Return the weight of each pixel in the mean of each bin, (R, bins, pixels)."""
        op, graph = self.op, self.graph
        start = graph.times(_rounded(graph, side.first), op.scale)
        end = graph.times(graph.plus(_rounded(graph, side.last), 1), op.scale)
        size = graph.one("Max", graph.one("Sub", end, start), graph.reals(0.1))
        low, high = self._bins(start, size, op.group, limit)
        pixels = graph.reals(np.arange(limit))
        is_before = graph.one("Less", pixels, graph.unsqueeze(low, [2]))
        is_inside = graph.one("Less", pixels, graph.unsqueeze(high, [2]))
        is_inside = graph.one("And", is_inside, graph.one("Not", is_before))
        count = graph.one("Max", graph.one("Sub", high, low), graph.reals(1))
        inside = graph.one("Cast", is_inside, to=_FLOAT)
        return graph.one("Div", inside, graph.unsqueeze(count, [2]))


@emitter(RoiGridSample)
class RoiGridSampleEmitter(_RegionEmitter[RoiGridSample]):
    """The four pixels around each sample, by Gather, times their weights."""

    def forward(self, x: Tensor, rois: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        op, graph, size = self.op, self.graph, x.shape[2:]
        image, *sides = self._sides(x, rois, op.scale, op.pad_ratio)
        rows, columns = (
            self._taps(side, n, limit) for side, n, limit in zip(sides, op.cells, size, strict=True)
        )
        turned = graph.one("Transpose", self.read(x), perm=[0, 2, 3, 1])
        table = graph.reshape(turned, [-1, x.shape[1]])
        total = ""
        for row, row_weight in rows:
            for column, column_weight in columns:
                places = self._places([image, row, column], [math.prod(size), size[1], 1])
                weight = graph.one(
                    "Mul",
                    graph.unsqueeze(row_weight, [2, 3]),
                    graph.unsqueeze(column_weight, [1, 3]),
                )
                part = graph.one("Mul", graph.one("Gather", table, places, axis=0), weight)
                total = graph.one("Add", total, part) if total else part
        self.write(y, graph.one("Transpose", total, perm=[0, 3, 1, 2]))

    def _taps(self, side: _Side, cells: int, limit: int) -> list[tuple[str, str]]:
        """Return pixel and weight of both neighbours of each sample along an axis, (R, n)."""
        op, graph = self.op, self.graph
        start, end = (graph.times(value, op.scale) for value in (side.first, side.last))
        if op.is_rounded:
            start, end = _rounded(graph, start), _rounded(graph, end)
        extent = graph.one("Max", graph.one("Sub", end, start), graph.reals(0))
        shares = np.arange(cells + op.has_end)[None] / cells
        wanted = graph.one("Add", start, graph.one("Mul", extent, graph.reals(shares)))
        wanted = graph.plus(wanted, -op.shift)
        at = _between(graph, wanted, 0, limit - 1)
        # A sample at most half a pixel outside is taken on the line of the outer pixels.
        distance = graph.one("Abs", graph.one("Sub", wanted, at))
        is_outside = graph.one("Greater", distance, graph.reals(0.5))
        inside = graph.one("Cast", graph.one("Not", is_outside), to=_FLOAT)
        low = graph.one("Min", graph.one("Floor", at), graph.reals(max(limit - 2, 0)))
        high = graph.one("Min", graph.plus(low, 1), graph.reals(limit - 1))
        share = graph.one("Mul", graph.one("Sub", at, low), inside)
        return [(low, graph.one("Sub", inside, share)), (high, share)]
