"""Normalisations: of batches, samples, neighbourhoods and vectors."""

from __future__ import annotations

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.ops.affine_batch_norm import AffineBatchNorm
from minicaffe.ops.backend import Shape, Tensor
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.lrn import Lrn
from minicaffe.ops.mvn import Mvn
from minicaffe.ops.normalize import Normalize


def _mean(graph: OnnxGraph, x: str, axes: list[int]) -> str:
    """Return the mean over axes, which stay with size 1.

    One axis after the other, because onnxruntime adds up all values of one node in a row: of two
    million values, the mean was wrong by 2e-5.
    """
    for axis in reversed(axes):
        x = graph.reduce("ReduceMean", x, [axis], keepdims=True)
    return x


def _centered(graph: OnnxGraph, x: str, axes: list[int]) -> tuple[str, str]:
    """Return x minus its mean over axes, and the variance."""
    difference = graph.one("Sub", x, _mean(graph, x, axes))
    return difference, _mean(graph, graph.one("Mul", difference, difference), axes)


def _of_batch(graph: OnnxGraph, x: str, shape: Shape, eps: float) -> str:
    """Return x normalised by the statistics of each channel in the batch."""
    axes = [axis for axis in range(len(shape)) if axis != 1]
    difference, variance = _centered(graph, x, axes)
    deviation = graph.one("Sqrt", graph.plus(variance, eps))
    return graph.one("Div", difference, deviation)


@emitter(BatchNorm)
class BatchNormEmitter(Emitter[BatchNorm]):
    """BatchNormalization by the stored statistics, or a composition for those of the batch."""

    def forward(self, x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""
        shape = x.shape if len(x.shape) > 1 else (*x.shape, 1)
        value = self.read(x, shape)
        if not self.op.use_stored:
            self.mark_sensitive(is_magnifying=False)
            self.write(y, _of_batch(self.graph, value, shape, self.op.eps), shape)
            return
        sums = [self.constant_values(t, "its statistics") for t in (mean, variance, weight)]
        factor = 1 / float(sums[2][0]) if sums[2][0] else 0.0
        ones = np.ones(mean.shape, np.float32)
        constants = (ones, 0 * ones, sums[0] * factor, sums[1] * factor)
        names = [self.graph.constant(array.astype(np.float32)) for array in constants]
        name = self.graph.one("BatchNormalization", value, *names, epsilon=self.op.eps)
        self.write(y, name, shape)


@emitter(AffineBatchNorm)
class AffineBatchNormEmitter(Emitter[AffineBatchNorm]):
    """A composition, because the statistics are those of the batch."""

    def forward(self, x: Tensor, s: Tensor, b: Tensor, mu: Tensor, var: Tensor, y: Tensor) -> None:
        """Overwrite mu, var and y, which may be x itself."""
        self.mark_sensitive(is_magnifying=False)
        value, graph = self.read(x), self.graph
        axes = [axis for axis in range(len(x.shape)) if axis != 1]
        difference, variance = _centered(graph, value, axes)
        self.write(mu, graph.reshape(_mean(graph, value, axes), [-1]))
        self.write(var, graph.reshape(variance, [-1]))
        unit = graph.one("Div", difference, graph.one("Sqrt", graph.plus(variance, self.op.eps)))
        each = (*s.shape, *(1,) * (len(x.shape) - 2))
        scaled = graph.one("Mul", unit, self.read(s, each))
        self.write(y, graph.one("Add", scaled, self.read(b, each)))


@emitter(Lrn)
class LrnEmitter(Emitter[Lrn]):
    """LRN across channels; within one channel a composition with AveragePool."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        op, graph, value = self.op, self.graph, self.read(x)
        if op.region == "across":
            sizes = {"size": op.local_size, "alpha": op.alpha, "beta": op.beta, "bias": op.k}
            self.write(y, graph.one("LRN", value, **sizes))
            return
        mean = graph.one(
            "AveragePool",
            graph.one("Mul", value, value),
            kernel_shape=(op.local_size,) * 2,
            pads=((op.local_size - 1) // 2,) * 4,
            count_include_pad=1,
        )
        scale = graph.plus(graph.times(mean, op.alpha), op.k)
        factor = graph.one("Pow", scale, graph.constant(np.float32(-op.beta)))
        self.write(y, graph.one("Mul", value, factor))


@emitter(Mvn)
class MvnEmitter(Emitter[Mvn]):
    """A composition, because ONNX's operator adds its epsilon elsewhere."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself."""
        self.mark_sensitive(is_magnifying=False)
        graph, axes = self.graph, list(range(self.op.first_axis, len(x.shape)))
        difference, variance = _centered(graph, self.read(x), axes)
        if not self.op.divide:
            self.write(y, difference)
            return
        deviation = graph.plus(graph.one("Sqrt", variance), self.op.eps)
        self.write(y, graph.one("Div", difference, deviation))


@emitter(Normalize)
class NormalizeEmitter(Emitter[Normalize]):
    """A composition of the norm and a division."""

    def forward(self, x: Tensor, y: Tensor, norms: Tensor) -> None:
        """Overwrite y and norms."""
        op, graph, value = self.op, self.graph, self.read(x)
        axes = list(range(1, len(x.shape))) if op.across_pixels else [1]
        kind = "ReduceSumSquare" if op.norm == "L2" else "ReduceL1"
        total = graph.plus(graph.reduce(kind, value, axes, keepdims=True), op.eps)
        norm = graph.one("Sqrt", total) if op.norm == "L2" else total
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        self.write(norms, norm, kept)
        self.write(y, graph.one("Div", value, norm), x.shape)
