"""Detections of YOLO, on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.activation import sigmoid
from minicaffe.backends.reference.kernels.softmax import softmax
from minicaffe.backends.reference.kernels.yolo._boxes import (
    as_predictions,
    predicted_boxes,
)
from minicaffe.backends.reference.kernels.yolo._measures import overlap_measure
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.detection.boxes import LARGEST_EXPONENT
from minicaffe.ops.yolo.region_loss import Anchors
from minicaffe.ops.yolo.yolo_output import YoloOutput, Yolov3Output
from minicaffe.suppression import Removal, keep_maxima


@dataclass(frozen=True)
class _Candidates:
    """Boxes before suppression; each array has one row a candidate.

    Parameters
    ----------
    image, label : int array (K,)
    score : float array (K,)
    box : float array (K, 4)
        [x, y, w, h] by the center, shares of the image.
    """

    image: HostArray
    label: HostArray
    score: HostArray
    box: HostArray


@kernel(YoloOutput)
class ReferenceYoloOutput(ReferenceKernel[YoloOutput]):
    """The best class of each box, then suppression."""

    def __init__(self, backend: ReferenceBackend, op: YoloOutput, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._rows = np.zeros((0, 7))

    def detect(self, xs: Sequence[Tensor]) -> int:
        """Find detections and return the number of rows."""
        with np.errstate(all="ignore"):  # a diverged net has no detections
            found = [self._find(x, a) for x, a in zip(xs, self.op.anchors, strict=True)]
            candidates = _Candidates(*(np.concatenate(part) for part in zip(*found, strict=True)))
            rows = [self._keep(candidates, image) for image in range(xs[0].shape[0])]
        self._rows = np.concatenate(rows) if rows else np.zeros((0, 7))
        if not len(self._rows):
            self._rows = np.full((len(rows), 7), -1.0)
            self._rows[:, 0] = np.arange(len(rows))
        return len(self._rows)

    def forward(self, y: Tensor) -> None:
        """Overwrite y."""
        y.set(self._rows.reshape(y.shape))

    def _find(self, x: Tensor, anchors: Anchors) -> tuple[HostArray, ...]:
        """Return image, label, score and box of a map's candidates, by row, column, anchor."""
        codes, scores = self._codes_and_scores(as_predictions(x.get(), len(anchors)))
        scores = np.moveaxis(scores, 1, 3)
        at = np.nonzero(self._is_candidate(scores))
        image, row, column, anchor, label = at
        codes[..., 2:] = np.minimum(codes[..., 2:], LARGEST_EXPONENT)
        boxes = predicted_boxes(codes, anchors)[image, anchor, row, column]
        return image, label, scores[at], boxes

    def _codes_and_scores(self, maps: HostArray) -> tuple[HostArray, HostArray]:
        """Return the codes (..., 4) of boxes and the scores (..., C) of their classes."""
        codes = np.concatenate([sigmoid(np, maps[..., :2]), maps[..., 2:4]], -1)
        return codes, sigmoid(np, maps[..., 4:5]) * softmax(np, maps[..., 5:], -1)

    def _is_candidate(self, scores: HostArray) -> HostArray:
        """Return which classes (..., C) are candidates."""
        is_best = np.arange(scores.shape[-1]) == scores.argmax(-1)[..., None]
        candidates: HostArray = is_best & (scores >= self.op.threshold)
        return candidates

    def _keep(self, candidates: _Candidates, image: int) -> HostArray:
        """Return the rows of an image's candidates that are kept."""
        mine = np.flatnonzero(candidates.image == image)
        mine = mine[np.argsort(-candidates.score[mine], kind="stable")]
        boxes = candidates.box[mine]

        def overlaps(kept: HostArray, others: HostArray) -> HostArray:
            return overlap_measure("iou", boxes[kept, None], boxes[others])

        removal = Removal(self.op.nms_threshold, at_threshold=True)
        kept = keep_maxima(len(mine), overlaps, removal)
        index, center, half = mine[kept], boxes[kept, :2], boxes[kept, 2:] / 2
        label, score = candidates.label[index] + 1, candidates.score[index]
        images = np.full(len(index), image)
        return np.column_stack([images, label, score, center - half, center + half])


@kernel(Yolov3Output)
class ReferenceYolov3Output(ReferenceYoloOutput):
    """Every class of each box, then suppression."""

    op: Yolov3Output

    def _codes_and_scores(self, maps: HostArray) -> tuple[HostArray, HostArray]:
        """Return the codes (..., 4) of boxes and the scores (..., C) of their classes."""
        p = sigmoid(np, maps)
        if not self.op.is_gaussian:
            codes = np.concatenate([p[..., :2], maps[..., 2:4]], -1)
            return codes, p[..., 4:5] * p[..., 5:]
        codes = np.concatenate([p[..., 0:4:2], maps[..., 4:8:2]], -1)
        certainty = 1 - p[..., 1:8:2].mean(-1, keepdims=True)
        return codes, p[..., 8:9] * p[..., 9:] * certainty

    def _is_candidate(self, scores: HostArray) -> HostArray:
        """Return which classes (..., C) are candidates."""
        candidates: HostArray = scores > self.op.threshold
        return candidates
