"""Evaluation of YOLO v2's detections, on the host."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.activation import sigmoid
from minicaffe.backends.reference.kernels.softmax import softmax
from minicaffe.backends.reference.kernels.yolo._boxes import (
    Truths,
    as_predictions,
    predicted_boxes,
    truths,
)
from minicaffe.backends.reference.kernels.yolo._measures import overlap_measure
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.yolo.eval_detection import EvalDetection
from minicaffe.suppression import Removal, keep_maxima

# Detections of lower scores are dropped, as in darknet.
LEAST_SCORE = 0.005


@kernel(EvalDetection)
class ReferenceEvalDetection(ReferenceKernel[EvalDetection]):
    """Image by image, class by class."""

    def forward(self, x: Tensor, labels: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        op, out = self.op, np.zeros(y.shape)
        found = truths(labels.get(), x.shape[0], op.n_classes)
        with np.errstate(all="ignore"):  # a diverged net has no detections
            maps = np.moveaxis(as_predictions(x.get(), len(op.anchors)), 1, 3)
            codes = np.concatenate([sigmoid(np, maps[..., :2]), maps[..., 2:4]], -1)
            boxes = np.moveaxis(predicted_boxes(np.moveaxis(codes, 3, 1), op.anchors), 1, 3)
            objectness, classes = sigmoid(np, maps[..., 4]), softmax(np, maps[..., 5:], -1)
            best, label = classes.max(-1), classes.argmax(-1)
            score = {"obj": objectness, "prob": best, "multiply": objectness * best}[op.score]
            for n in range(len(maps)):
                mine = found.of(n)
                np.add.at(out[n], mine.label, 1)
                kept = self._kept(score[n].ravel(), boxes[n].reshape(-1, 4))
                label_of, box_of = label[n].ravel()[kept], boxes[n].reshape(-1, 4)[kept]
                rows = self._rows(label_of, score[n].ravel()[kept], box_of, mine)
                out[n, op.n_classes : op.n_classes + rows.size] = rows.ravel()
        y.set(out)

    def _kept(self, score: HostArray, box: HostArray) -> HostArray:
        """Return the detections that remain, in order of descending score."""
        order = np.argsort(-score, kind="stable")
        if self.op.nms_threshold is not None:
            boxes = box[order]

            def overlaps(kept: HostArray, others: HostArray) -> HostArray:
                return overlap_measure("iou", boxes[kept, None], boxes[others])

            removal = Removal(self.op.nms_threshold, at_threshold=True)
            order = order[keep_maxima(len(order), overlaps, removal)]
        return order[score[order] >= LEAST_SCORE]

    def _rows(self, label: HostArray, score: HostArray, box: HostArray, found: Truths) -> HostArray:
        """Return the rows (K, 4) of an image's detections; `found` are its truths."""
        rows = []
        for c in range(self.op.n_classes):
            left = found.box[found.label == c]
            is_free = np.ones(len(left), bool)
            for k in np.flatnonzero(label == c):
                near = overlap_measure("iou", box[k], left)
                at = int(near.argmax()) if len(left) else -1
                hit = at >= 0 and near[at] >= self.op.threshold and is_free[at]
                is_free[at:][:1] &= not hit
                rows.append([c, score[k], hit, not hit])
        return np.array(rows, float).reshape(-1, 4)
