"""Losses of YOLO v3, on the host."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.activation import sigmoid
from minicaffe.backends.reference.kernels.yolo._boxes import (
    Hits,
    Truths,
    anchor_boxes,
    as_predictions,
    predicted_boxes,
    shapes_only,
    truths,
)
from minicaffe.backends.reference.kernels.yolo._measures import (
    best_overlaps,
    measure_and_gradient,
    overlap_measure,
)
from minicaffe.ops.backend import HostArray, Shape, Tensor
from minicaffe.ops.yolo.yolov3_loss import BoxLoss, GaussianYolov3Loss, Yolov3Loss

# Weight of the focal loss of classes.
_FOCAL_WEIGHT = 0.5
# Added to the deviation, and to the density, of a Gaussian.
_LEAST_DEVIATION, _LEAST_DENSITY = 0.3, 1e-9


@kernel(Yolov3Loss)
class ReferenceYolov3Loss(ReferenceKernel[Yolov3Loss]):
    """All hits at once."""

    # The channels of a prediction with x, y, w, h; then follow objectness and the classes.
    codes: ClassVar[list[int]] = [0, 1, 2, 3]
    objectness = 4

    def __init__(self, backend: ReferenceBackend, op: Yolov3Loss, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self.anchors = tuple(op.anchors[k] for k in op.mask)
        self._gradient = np.zeros(tensors[0].shape)

    @property
    def measure(self) -> BoxLoss:
        """The measure of overlap."""
        return self.op.box_loss

    @property
    def smoothing(self) -> float:
        """By how much the targets of classes differ from 1 and 0, twice."""
        return self.op.smoothing

    def forward(self, x: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""
        op, k = self.op, self.objectness
        found = truths(labels.get(), x.shape[0], op.n_classes)
        with np.errstate(all="ignore"):  # a diverged net's loss is not finite
            maps = as_predictions(x.get(), len(op.mask))
            p = sigmoid(np, maps)
            p[..., self.codes[2:]] = maps[..., self.codes[2:]]
            boxes = predicted_boxes(p[..., self.codes], self.anchors)
            hits, deltas = self._match(found, x.shape), np.zeros_like(p)
            is_near = best_overlaps(boxes, found, self.measure) > op.threshold
            deltas[..., k] = np.where(is_near, 0, -p[..., k])
            deltas[..., k][hits.at] = op.object_scale * (1 - p[..., k][hits.at])
            deltas[..., k + 1 :] = self._class_deltas(p[..., k + 1 :], hits)
            squares = (deltas * deltas).sum()
            box_deltas, apart = self._box_deltas(p[hits.at], boxes[hits.at], hits, x.shape)
            self._assign(deltas, hits, box_deltas)
            squares += self._box_term(deltas, apart)
            loss.set(squares / max(len(p), 1))
            if op.has_sigmoid_slope:
                slope = p * (1 - p)
                slope[..., self.codes[2:]] = 1
                deltas *= slope
        self._gradient = -np.moveaxis(deltas, -1, 2).reshape(x.shape) / max(len(p), 1)

    def backward(self, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        dx.write()[...] = self.xp.asarray(self._gradient) * dloss.read()

    def _match(self, found: Truths, shape: Shape) -> Hits:
        """Return the hits of each truth: its best anchor, then those above the threshold."""
        op, (rows, columns) = self.op, shape[2:]
        anchors = anchor_boxes(op.anchors, rows, columns)
        near = overlap_measure(self.measure, anchors, shapes_only(found.box)[:, None])
        is_best = near.argmax(1)[:, None] == np.array(op.mask)
        is_near = near[:, list(op.mask)] > op.match_threshold
        best_first = np.stack([is_best, is_near], 1)
        truth, _, anchor = np.nonzero(best_first)
        row, column = (index[truth] for index in found.cells(rows, columns))
        return Hits(found.image[truth], anchor, row, column, found.label[truth], found.box[truth])

    def _class_deltas(self, p: HostArray, hits: Hits) -> HostArray:
        """Return the deltas of all classes, like p (N, M, H, W, C)."""
        op, counts = self.op, np.zeros(p.shape, int)
        np.add.at(counts, (*hits.at, hits.label), 1)
        is_hit = counts.any(-1, keepdims=True)
        high, low = 1 - self.smoothing / 2, self.smoothing / 2
        deltas = np.where(counts > 0, high, low) - p
        if op.is_focal:
            earliest = np.full(p.shape[:-1], len(hits.label))
            np.minimum.at(earliest, hits.at, np.arange(len(hits.label)))
            first = np.append(hits.label, 0)[earliest]
            is_first = np.arange(op.n_classes) == first[..., None]
            score = np.take_along_axis(p, first[..., None], -1)
            factor = -(1 - score) * (2 * score * np.log(score) + score - 1)
            focal = _FOCAL_WEIGHT * factor * (is_first - p)
            deltas = np.where(counts > is_first, deltas, focal)
        return np.where(is_hit, op.class_scale * deltas, 0)

    def _box_deltas(
        self, p: HostArray, boxes: HostArray, hits: Hits, shape: Shape
    ) -> tuple[HostArray, HostArray]:
        """Return the deltas of hit boxes, and their distances 1 - measure."""
        value, gradient = measure_and_gradient(self.measure, boxes, hits.truth)
        if self.measure == "mse":
            scale = self.op.coord_scale * (2 - hits.truth[:, 2:].prod(1, keepdims=True))
            return scale * (hits.targets(shape[2:], self.anchors) - p[:, self.codes]), 1 - value
        gradient[:, 2:] *= np.exp(p[:, self.codes[2:]])
        return np.clip(gradient, -self.op.max_delta, self.op.max_delta), 1 - value

    def _assign(self, deltas: HostArray, hits: Hits, of_boxes: HostArray) -> None:
        """Write the deltas of boxes; those of one place replace each other or accumulate."""
        own = deltas[..., : self.objectness]
        if self.op.accumulates and self.measure != "mse":
            np.add.at(own, hits.at, of_boxes)
        else:
            own[hits.at] = of_boxes

    def _box_term(self, deltas: HostArray, apart: HostArray) -> float:
        """Return what boxes add to the squares."""
        if self.measure == "mse":
            return float((deltas[..., : self.objectness] ** 2).sum())
        return self.op.box_weight * float(apart.mean()) if len(apart) else 0.0


@kernel(GaussianYolov3Loss)
class ReferenceGaussianYolov3Loss(ReferenceYolov3Loss):
    """Each coordinate is followed by its deviation."""

    codes: ClassVar[list[int]] = [0, 2, 4, 6]
    objectness = 8
    measure: BoxLoss = "iou"
    smoothing = 0.0

    def _box_deltas(
        self, p: HostArray, boxes: HostArray, hits: Hits, shape: Shape
    ) -> tuple[HostArray, HostArray]:
        """Return the deltas of hit boxes, and their distances 1 - IoU."""
        op = self.op
        apart = hits.targets(shape[2:], self.anchors) - p[:, self.codes]
        deviation = p[:, [k + 1 for k in self.codes]]
        wide = deviation + _LEAST_DEVIATION
        density = np.exp(-((apart / deviation) ** 2) / 2) / (math.sqrt(2 * math.pi) * wide)
        scale = op.box_weight * op.coord_scale * (2 - hits.truth[:, 2:].prod(1, keepdims=True))
        factor = scale * density / (2 * (density + _LEAST_DENSITY))
        of_mean = factor * apart / deviation**2
        of_deviation = factor * (apart**2 / deviation**3 - 1 / wide)
        deltas = np.stack([of_mean, of_deviation], -1).reshape(len(p), self.objectness)
        distances = 1 - overlap_measure("iou", boxes, hits.truth)
        return np.clip(deltas, -op.max_delta, op.max_delta), distances
