"""Accuracy of a segmentation from counts of pixels by true and predicted class."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.ops.backend import Tensor
from minicaffe.ops.segmentation.seg_accuracy import PixelCounts, SegAccuracy


@kernel(SegAccuracy)
class ReferenceSegAccuracy(ReferenceKernel[SegAccuracy]):
    """Count pixels on the backend's arrays; the few numbers per class are the host's."""

    def forward(self, x: Tensor, labels: Tensor, counts: PixelCounts, measures: Tensor) -> None:
        """Add to counts, overwrite measures."""
        xp, scores = self.xp, x.read()
        n_classes = scores.shape[1]
        truth = labels.read().reshape(scores.shape[:1] + scores.shape[2:])
        is_counted = xp.ones(truth.shape, bool)
        for label in self.op.ignored:
            is_counted &= truth != label
        true, _ = class_indices(xp, xp.where(is_counted, truth, 0), n_classes)
        predicted = n_classes - 1 - scores[:, ::-1].argmax(axis=1)
        pairs = (true * n_classes + predicted)[is_counted]
        counts += np.reshape(xp.bincount(pairs, minlength=n_classes**2).tolist(), counts.shape)
        measures.write()[...] = xp.asarray(_measures(counts)).reshape(1, 1, 1, 3)


def _measures(counts: PixelCounts) -> list[float]:
    right, true, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    union = true + predicted - right
    recall = right[true > 0] / true[true > 0]
    overlap = np.divide(right, union, out=np.ones(len(counts)), where=union > 0)
    return [
        right.sum() / max(int(counts.sum()), 1),
        recall.mean() if len(recall) else 0.0,
        overlap.mean(),
    ]
