"""Softmax and its loss along one axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.labels import class_indices
from minicaffe.backends.reference.normalization import normalizer
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.softmax import Softmax, SoftmaxLoss

TINY = float(np.finfo(np.float32).tiny)


def softmax(xp: Any, x: Array, axis: int) -> Array:
    """Return exp(x) / sum(exp(x)) along `axis`, with the maximum taken out first."""
    e = xp.exp(x - x.max(axis, keepdims=True))
    e /= e.sum(axis, keepdims=True)
    return e


@kernel(Softmax)
class ReferenceSoftmax(ReferenceKernel):
    """Softmax."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        y.write()[...] = softmax(self.xp, x.read(), self.op.axis)

    def backward(self, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        p, given = y.read(), dy.read()
        dx.write()[...] = p * (given - (given * p).sum(self.op.axis, keepdims=True))


@kernel(SoftmaxLoss)
class ReferenceSoftmaxLoss(ReferenceKernel):
    """Softmax and multinomial logistic loss."""

    def forward(self, x: Tensor, labels: Tensor, p: Tensor, loss: Tensor) -> None:
        """Overwrite p and loss."""
        xp, axis = self.xp, self.op.axis
        self._probabilities(x, p)
        probabilities = p.read()
        classes, counts = self._classes(probabilities, labels.read())
        true = xp.take_along_axis(probabilities, xp.expand_dims(classes, axis), axis)
        losses = -xp.log(xp.maximum(true.squeeze(axis), TINY))
        loss.write()[...] = (losses * counts).sum() / self._normalizer(probabilities, counts)

    def backward(self, p: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        xp, axis = self.xp, self.op.axis
        probabilities, out = p.read(), dx.write()
        classes, counts = self._classes(probabilities, labels.read())
        at = xp.expand_dims(classes, axis)
        out[...] = probabilities
        xp.put_along_axis(out, at, xp.take_along_axis(out, at, axis) - 1, axis)
        scale = dloss.read().reshape(()) / self._normalizer(probabilities, counts)
        out *= xp.expand_dims(counts, axis) * scale

    def _probabilities(self, x: Tensor, p: Tensor) -> None:
        """Overwrite p with the softmax of x."""
        p.write()[...] = softmax(self.xp, x.read(), self.op.axis)

    def _classes(self, p: Array, labels: Array) -> tuple[Array, Array]:
        shape = p.shape[: self.op.axis] + p.shape[self.op.axis + 1 :]
        return class_indices(
            self.xp, labels.reshape(shape), p.shape[self.op.axis], self.op.ignore_label
        )

    def _normalizer(self, p: Array, counts: Array) -> Any:
        samples = math.prod(p.shape[: self.op.axis])
        return normalizer(self.xp, self.op.normalization, counts, samples)
