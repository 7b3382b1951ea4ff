"""Copies, joins, parts, permutations and sums along axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.ops.backend import Tensor
from minicaffe.ops.concat import Concat, Slice
from minicaffe.ops.crop import Crop
from minicaffe.ops.flip import Flip
from minicaffe.ops.layout import Copy
from minicaffe.ops.permute import Permute
from minicaffe.ops.reduction import Reduction
from minicaffe.ops.tile import Tile


@emitter(Copy)
class CopyEmitter(Emitter[Copy]):
    """No node: both tensors hold the same value."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self.write(y, self.read(x), x.shape)


@emitter(Concat)
class ConcatEmitter(Emitter[Concat]):
    """Concat."""

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""
        values = [self.read(x) for x in xs if math.prod(x.shape)]
        self.write(y, self.graph.one("Concat", *values, axis=self.op.axis))


@emitter(Slice)
class SliceEmitter(Emitter[Slice]):
    """Split."""

    def forward(self, x: Tensor, ys: Sequence[Tensor]) -> None:
        """Overwrite the ys."""
        sizes = [y.shape[self.op.axis] for y in ys]
        names = self.graph.split(self.read(x), sizes, self.op.axis)
        for y, name in zip(ys, names, strict=True):
            self.write(y, name)


@emitter(Crop)
class CropEmitter(Emitter[Crop]):
    """Slice."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        axes = [axis for axis in range(len(x.shape)) if x.shape[axis] != y.shape[axis]]
        if not axes:
            self.write(y, self.read(x))
            return
        starts = [self.op.offset[axis] for axis in axes]
        ends = [start + y.shape[axis] for start, axis in zip(starts, axes, strict=True)]
        self.write(y, self.graph.slice(self.read(x), starts, ends, axes))


@emitter(Flip)
class FlipEmitter(Emitter[Flip]):
    """Slice with steps of -1."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        graph, n = self.graph, len(self.op.axes)
        if not n:
            self.write(y, self.read(x))
            return
        ends = [np.iinfo(np.int64).min] * n
        limits = ([-1] * n, ends, self.op.axes, [-1] * n)
        self.write(y, graph.one("Slice", self.read(x), *map(graph.integers, limits)))


@emitter(Permute)
class PermuteEmitter(Emitter[Permute]):
    """Transpose."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        op = self.op
        name = self.graph.one("Transpose", self.read(x, op.sizes), perm=op.order)
        self.write(y, name, tuple(op.sizes[axis] for axis in op.order))


@emitter(Tile)
class TileEmitter(Emitter[Tile]):
    """Tile."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        repeats = [1] * len(x.shape)
        repeats[self.op.axis] = self.op.tiles
        self.write(y, self.graph.one("Tile", self.read(x), self.graph.integers(repeats)))


@emitter(Reduction)
class ReductionEmitter(Emitter[Reduction]):
    """ReduceSum, ReduceL1, ReduceSumSquare or ReduceMean, and a product."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        op = self.op
        kinds = {"sum": "Sum", "asum": "L1", "sumsq": "SumSquare", "mean": "Mean"}
        kind, axes = f"Reduce{kinds[op.operation]}", range(op.axis, len(x.shape))
        reduced = self.graph.reduce(kind, self.read(x), axes, keepdims=False)
        self.write(y, self.graph.times(reduced, op.coefficient))
