"""Accuracy by counting the classes that score at least as high as the true one."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.ops.accuracy import Accuracy
from minicaffe.ops.backend import Tensor


@kernel(Accuracy)
class ReferenceAccuracy(ReferenceKernel[Accuracy]):
    """Top-k accuracy."""

    def forward(
        self, x: Tensor, labels: Tensor, accuracy: Tensor, per_class: Tensor | None = None
    ) -> None:
        """Overwrite accuracy and per_class."""
        xp, axis = self.xp, self.op.axis
        scores = x.read()
        n_classes = scores.shape[axis]
        pixels = scores.shape[:axis] + scores.shape[axis + 1 :]
        classes, counts = class_indices(
            xp, labels.read().reshape(pixels), n_classes, self.op.ignore_label
        )
        true = xp.take_along_axis(scores, xp.expand_dims(classes, axis), axis)
        # Count the classes that do not score less than the true one (itself included): a comparison
        # with NaN is false, so that classes with NaN count; otherwise diverged nets would have an
        # accuracy of 1.
        others = (~(scores < true)).sum(axis) - 1
        right = (others < self.op.top_k) & counts
        accuracy.write()[...] = right.sum() / xp.maximum(counts.sum(), 1)
        if per_class is not None:
            hits = xp.bincount(classes[right], minlength=n_classes)
            seen = xp.bincount(classes[counts], minlength=n_classes)
            per_class.write()[...] = hits / xp.maximum(seen, 1)
