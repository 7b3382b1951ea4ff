"""Distances to learned vectors, and inner products of channels."""

from __future__ import annotations

import math

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.ops.backend import Tensor
from minicaffe.ops.face.distance import Gram, InnerDistance


@emitter(InnerDistance)
class InnerDistanceEmitter(Emitter[InnerDistance]):
    """All differences, and a sum: the expanded square would cancel."""

    def forward(self, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        op, graph = self.op, self.graph
        rows, size = math.prod(x.shape[: op.axis]), math.prod(x.shape[op.axis :])
        weights = self.read(w)
        if op.transpose:
            weights = graph.one("Transpose", weights, perm=[1, 0])
        samples = self.read(x, (rows, 1, size))
        kind = "ReduceL1" if op.norm == "L1" else "ReduceSumSquare"
        distances = graph.reduce(kind, graph.one("Sub", samples, weights), [2])
        if b is not None:
            distances = graph.one("Add", distances, self.read(b))
        self.write(y, distances, (rows, y.shape[-1]))


@emitter(Gram)
class GramEmitter(Emitter[Gram]):
    """MatMul with the transposed channels."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        graph, (n, channels), pixels = self.graph, x.shape[:2], math.prod(x.shape[2:])
        values = self.read(x, (n, channels, pixels))
        turned = graph.one("Transpose", values, perm=[0, 2, 1])
        products = graph.times(graph.one("MatMul", values, turned), 1 / (channels * pixels))
        self.write(y, products, (n, channels, channels))
