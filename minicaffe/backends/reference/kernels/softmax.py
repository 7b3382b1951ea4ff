"""Softmax and softmax loss along one axis."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.backends.reference.kernels._normalization import normalizer
from minicaffe.ops.backend import Array, ArrayModule, Tensor
from minicaffe.ops.softmax import Softmax, SoftmaxLoss

TINY = float(np.finfo(np.float32).tiny)


def softmax(xp: ArrayModule, x: Array, axis: int) -> Array:
    """Return exp(x) / sum(exp(x)) along `axis`; the maximum is subtracted first."""
    if not x.size:
        return x  # a maximum of no values is not defined
    e = xp.exp(x - x.max(axis, keepdims=True))
    e /= e.sum(axis, keepdims=True)
    return e


@kernel(Softmax)
class ReferenceSoftmax(ReferenceKernel[Softmax]):
    """Softmax."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        y.write()[...] = softmax(self.xp, x.read(), self.op.axis)

    def backward(self, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        p, given = y.read(), dy.read()
        dx.write()[...] = p * (given - (given * p).sum(self.op.axis, keepdims=True))


@kernel(SoftmaxLoss)
class ReferenceSoftmaxLoss(ReferenceKernel[SoftmaxLoss]):
    """Softmax and multinomial logistic loss."""

    def __init__(self, backend: ReferenceBackend, op: SoftmaxLoss, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        shape, axis = tensors[0].shape, op.axis
        # All arrays are viewed as (outer, K, inner): one class for each index of outer and inner.
        self._shape = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
        self._outer = self.xp.arange(self._shape[0])[:, None]
        self._inner = self.xp.arange(self._shape[2])
        self._labels = shape[:axis] + shape[axis + 1 :]
        given = op.class_weights
        self._class_weights: Array = self.xp.asarray(given, backend.dtype) if given else None
        # Targets of the label's class and of each other one.
        self._targets = 1 - op.smoothing, op.smoothing / max(shape[axis], 1)

    def forward(self, x: Tensor, labels: Tensor, p: Tensor, loss: Tensor) -> None:
        """Overwrite p and loss."""
        xp = self.xp
        self._probabilities(x, p)
        classes, counts = self._classes(labels)
        probabilities = p.read().reshape(self._shape)
        true = probabilities[self._outer, classes, self._inner]
        losses = -xp.log(xp.maximum(true, TINY))
        if self.op.smoothing:
            high, low = self._targets
            all_losses = -xp.log(xp.maximum(probabilities, TINY)).sum(1)
            losses = (high - low) * losses + low * all_losses
        if self._class_weights is not None:
            losses *= self._class_weights[classes]
        if self.op.ignore_label is not None:
            losses = xp.where(counts, losses, 0)
        loss.write()[...] = losses.sum() / self._normalizer(counts)

    def backward(self, p: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        classes, counts = self._classes(labels)
        out = dx.write().reshape(self._shape)
        out[...] = p.read().reshape(self._shape)
        if self.op.smoothing:
            high, low = self._targets
            out *= high + (self._shape[1] - 1) * low
            out -= low
            out[self._outer, classes, self._inner] -= high - low
        else:
            out[self._outer, classes, self._inner] -= 1
        if self._class_weights is not None:
            out *= self._class_weights[classes][:, None]
        out *= dloss.read().reshape(()) / self._normalizer(counts)
        if self.op.ignore_label is not None:
            # An assignment: NaN times 0 would be NaN.
            self.xp.copyto(out, 0, where=~counts[:, None])

    def _probabilities(self, x: Tensor, p: Tensor) -> None:
        """Overwrite p with the softmax of x."""
        p.write()[...] = softmax(self.xp, x.read(), self.op.axis)

    def _classes(self, labels: Tensor) -> tuple[Array, Array]:
        """Return classes and a mask of those that count, both (outer, inner)."""
        given, (outer, k, inner) = labels.read().reshape(self._labels), self._shape
        classes, counts = class_indices(self.xp, given, k, self.op.ignore_label)
        return classes.reshape(outer, inner), counts.reshape(outer, inner)

    def _normalizer(self, counts: Array) -> Array:
        return normalizer(self.xp, self.op.normalization, counts, self._shape[0])
