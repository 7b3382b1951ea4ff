"""Loss of YOLO v2, on the host."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.activation import sigmoid
from minicaffe.backends.reference.kernels.softmax import softmax
from minicaffe.backends.reference.kernels.yolo._boxes import (
    Hits,
    Truths,
    anchor_boxes,
    as_predictions,
    predicted_boxes,
    shapes_only,
    truths,
)
from minicaffe.backends.reference.kernels.yolo._measures import best_overlaps, overlap_measure
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.yolo.region_loss import RegionLoss


@kernel(RegionLoss)
class ReferenceRegionLoss(ReferenceKernel[RegionLoss]):
    """All truths at once."""

    def __init__(self, backend: ReferenceBackend, op: RegionLoss, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._deltas = np.zeros(tensors[0].shape)

    def forward(self, x: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""
        op, found = self.op, truths(labels.get(), x.shape[0], self.op.n_classes)
        with np.errstate(all="ignore"):  # a diverged net's loss is not finite
            p = self._activate(as_predictions(x.get(), len(op.anchors)))
            boxes = predicted_boxes(p[..., :4], op.anchors)
            deltas, o = np.zeros_like(p), p[..., 4]
            is_near = best_overlaps(boxes, found) > op.threshold
            deltas[..., 4] = np.where(is_near, 0, -op.noobject_scale * o * o * (1 - o))
            hits = self._match(found, boxes)
            # If a place occurs several times, the last value is assigned.
            deltas[hits.at] = self._hit(p[hits.at], boxes[hits.at], hits, x.shape[2:])
            loss.set((deltas * deltas).sum() / max(len(p), 1))
        self._deltas = np.moveaxis(deltas, -1, 2).reshape(x.shape)

    def backward(self, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        deltas = self.xp.asarray(self._deltas / max(len(self._deltas), 1))
        dx.write()[...] = -deltas * dloss.read()

    def _activate(self, maps: HostArray) -> HostArray:
        """Return predictions after sigmoid and softmax."""
        p: HostArray = sigmoid(np, maps)
        p[..., 2:4] = maps[..., 2:4]
        if self.op.has_softmax:
            p[..., 5:] = softmax(np, maps[..., 5:], -1)
        return p

    def _match(self, found: Truths, boxes: HostArray) -> Hits:
        """Return each truth with the anchor of largest overlap."""
        rows, columns = boxes.shape[2:4]
        row, column = found.cells(rows, columns)
        candidates = anchor_boxes(self.op.anchors, rows, columns)[None]
        if self.op.matches_predictions:
            candidates = shapes_only(boxes[found.image, :, row, column])
        anchor = overlap_measure("iou", candidates, shapes_only(found.box)[:, None]).argmax(1)
        return Hits(found.image, anchor, row, column, found.label, found.box)

    def _hit(
        self, p: HostArray, boxes: HostArray, hits: Hits, map_size: tuple[int, ...]
    ) -> HostArray:
        """Return the deltas (K, 5 + C) of predictions that are hit."""
        op, scale = self.op, np.full((len(p), 1), self.op.coord_scale)
        if not op.rescores:
            scale = scale * (2 - hits.truth[:, 2:].prod(1, keepdims=True))
        slope = p * (1 - p)
        deltas = np.empty_like(p)
        deltas[:, :4] = scale * (hits.targets(map_size, op.anchors) - p[:, :4])
        deltas[:, :2] *= slope[:, :2]
        target = overlap_measure("iou", boxes, hits.truth) if op.rescores else 1
        deltas[:, 4] = op.object_scale * (target - p[:, 4]) * slope[:, 4]
        is_class = np.arange(op.n_classes) == hits.label[:, None]
        deltas[:, 5:] = op.class_scale * (is_class - p[:, 5:])
        return deltas
