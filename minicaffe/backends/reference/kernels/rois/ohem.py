"""Online hard example mining over regions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.backends.reference.kernels._normalization import normalizer
from minicaffe.backends.reference.kernels.softmax import TINY, softmax
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.rois.ohem import BoxAnnotatorOhem, SoftmaxLossOhem


@kernel(SoftmaxLossOhem)
class ReferenceSoftmaxLossOhem(ReferenceKernel[SoftmaxLossOhem]):
    """Softmax loss with the loss of each label."""

    def forward(self, x: Tensor, labels: Tensor, p: Tensor, losses: Tensor, loss: Tensor) -> None:
        """Overwrite p, losses and loss."""
        xp, axis = self.xp, self.op.axis
        probabilities = p.write()
        probabilities[...] = softmax(xp, x.read(), axis)
        classes, counts = self._classes(labels, p)
        true = xp.take_along_axis(probabilities, xp.expand_dims(classes, axis), axis)
        found = xp.where(counts, -xp.log(xp.maximum(true, TINY)).reshape(counts.shape), 0)
        out = losses.write()
        out[...] = found.reshape(out.shape)
        loss.write()[...] = found.sum() / self._divisor(p, counts)

    def backward(self, p: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        xp, axis = self.xp, self.op.axis
        probabilities = p.read()
        classes, counts = self._classes(labels, p)
        k = xp.arange(probabilities.shape[axis])
        is_true = xp.expand_dims(classes, axis) == k.reshape((-1,) + (1,) * (classes.ndim - axis))
        gradient = (probabilities - is_true) * (dloss.read() / self._divisor(p, counts))
        dx.write()[...] = xp.where(xp.expand_dims(counts, axis), gradient, 0)

    def _classes(self, labels: Tensor, p: Tensor) -> tuple[Array, Array]:
        axis, shape = self.op.axis, p.shape
        given = labels.read().reshape(shape[:axis] + shape[axis + 1 :])
        return class_indices(self.xp, given, shape[axis], self.op.ignore_label)

    def _divisor(self, p: Tensor, counts: Array) -> Array:
        samples = math.prod(p.shape[: self.op.axis])
        return normalizer(self.xp, self.op.normalization, counts, samples)


@kernel(BoxAnnotatorOhem)
class ReferenceBoxAnnotatorOhem(ReferenceKernel[BoxAnnotatorOhem]):
    """Keep the regions with the largest losses of each image."""

    def forward(
        self, rois: Tensor, losses: Tensor, given: Sequence[Tensor], chosen: Sequence[Tensor]
    ) -> None:
        """Overwrite the chosen labels and weights."""
        xp = self.xp
        labels, weights = (tensor.read() for tensor in given)
        image = rois.read()[:, 0].ravel()
        order = xp.lexsort(xp.stack([-losses.read().ravel(), image]))
        ordered = image[order]
        # The place of each region among those of its image.
        rank = xp.arange(len(order)) - xp.searchsorted(ordered, ordered)
        is_kept = xp.zeros(len(order), bool)
        is_kept[order] = rank < self.op.keep
        kept_labels = is_kept.reshape(labels.shape)
        chosen[0].write()[...] = xp.where(kept_labels, labels, self.op.ignore_label)
        kept_weights = is_kept.reshape(len(weights), 1, *weights.shape[2:])
        chosen[1].write()[...] = xp.where(kept_weights, weights, 0)
