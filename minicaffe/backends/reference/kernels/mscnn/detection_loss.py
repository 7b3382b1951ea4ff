"""Loss and accuracy of one of MS-CNN's maps, on the host."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.backends.reference.kernels.mscnn._fields import (
    cell_centers,
    cover,
    cut_offsets,
    field_boxes,
)
from minicaffe.backends.reference.kernels.rois.smooth_l1_loss import smooth_l1, smooth_l1_slope
from minicaffe.backends.reference.kernels.softmax import TINY, softmax
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.mscnn.detection_loss import DetectionAccuracy, DetectionLoss
from minicaffe.ops.mscnn.fields import Field

# The smallest number of negatives a class, and the smallest true side, pixels.
_FEWEST, _SMALLEST_SIDE = 4, 2


@dataclass(frozen=True)
class _Labels:
    """A label map; all arrays are (N, H, W), the boxes (N, H, W, 4) [x, y, w, h]."""

    classes: HostArray
    boxes: HostArray
    iou: HostArray
    is_positive: HostArray
    is_candidate: HostArray


def _read_labels(labels: Tensor, op: DetectionLoss | DetectionAccuracy) -> _Labels:
    maps = np.moveaxis(labels.get().astype(np.float64), 1, -1)
    given = np.minimum(maps[..., 0], 1) if op.is_objectness else maps[..., 0]
    classes, counts = class_indices(np, given, op.n_classes, op.ignore_label)
    iou = maps[..., 5]
    is_negative = counts & (classes == 0) & (iou < op.negative_iou)
    return _Labels(classes, maps[..., 1:5], iou, counts & (classes > 0), is_negative)


def _offsets(boxes: HostArray, field: Field) -> HostArray:
    """Return the offsets of boxes [x, y, w, h], both (N, H, W, 4)."""
    size = np.array([field.width, field.height])
    at = (boxes[..., :2] - cell_centers(boxes.shape[1:3], field.step)) / size
    return np.concatenate([at, np.log(np.maximum(boxes[..., 2:], _SMALLEST_SIDE) / size)], -1)


@kernel(DetectionLoss)
class ReferenceDetectionLoss(ReferenceKernel[DetectionLoss]):
    """All cells at once; negatives are chosen image by image."""

    def __init__(self, backend: ReferenceBackend, op: DetectionLoss, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._gradient = np.zeros(tensors[0].shape)

    def forward(self, x: Tensor, labels: Tensor, loss: Tensor, random: np.random.Generator) -> None:
        """Overwrite loss."""
        c, found = self.op.n_classes, _read_labels(labels, self.op)
        with np.errstate(all="ignore"):  # a diverged net's loss is not finite
            maps = np.moveaxis(x.get().astype(np.float64), 1, -1)
            is_negative = self._negatives(maps, found, random)
            weights = self._weights(found, is_negative)
            p, true = softmax(np, maps[..., :c], -1), found.classes[..., None]
            losses = -np.log(np.maximum(np.take_along_axis(p, true, -1)[..., 0], TINY))
            is_used = weights > 0
            of_class = (weights * losses)[is_used].sum()
            slopes = np.where(is_used[..., None], (p - (np.arange(c) == true)), 0)
            of_box, box_slopes = self._box_loss(maps[..., c:], found)
            loss.set(np.reshape([of_class + of_box, of_box], loss.shape))
        gradient = np.concatenate([slopes * weights[..., None], box_slopes], -1)
        self._gradient = np.moveaxis(gradient, -1, 1)

    def backward(self, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        dx.write()[...] = self.xp.asarray(self._gradient) * dloss.read().ravel()[0]

    def _weights(self, found: _Labels, is_negative: HostArray) -> HostArray:
        """Return the weight of each cell, over the number of cells."""
        op, cells = self.op, int(found.is_positive.sum() + is_negative.sum())
        positive = np.where(found.is_positive, found.iou if op.weights_iou else 1, 0.0)
        negative = is_negative.astype(float)
        if op.balances and positive.sum():
            share = 1 / (1 + op.multiple)
            positive *= share * cells / positive.sum()
            negative *= (1 - share) * cells / max(negative.sum(), 1)
        weights: HostArray = (positive + negative) / max(cells, 1)
        return weights

    def _negatives(self, maps: HostArray, found: _Labels, random: np.random.Generator) -> HostArray:
        """Return which candidates are chosen."""
        op, chosen = self.op, np.zeros(found.classes.shape, bool)
        if op.sampling == "all":
            return found.is_candidate
        part = 0.5 if op.sampling == "mixture" else 1.0
        for n in range(len(maps)):
            candidates, mine = found.is_candidate[n].ravel(), chosen[n].reshape(-1)
            if op.sampling != "bootstrap":
                wanted = int(found.is_positive[n].sum() * op.multiple * part)
                wanted = max(wanted, _FEWEST * (op.n_classes - 1))
                drawn = random.integers(0, len(mine), wanted)
                mine[drawn[candidates[drawn]]] = True
            if op.sampling != "random":
                places = np.flatnonzero(candidates)
                for k in range(1, op.n_classes):
                    n_of_class = (found.classes[n] == k)[found.is_positive[n]].sum()
                    wanted = max(int(n_of_class * op.multiple * part), _FEWEST)
                    logits = maps[n, ..., k].ravel()[places]
                    mine[places[np.argsort(-logits, kind="stable")[:wanted]]] = True
        return chosen

    def _box_loss(self, offsets: HostArray, found: _Labels) -> tuple[float, HostArray]:
        """Return the loss of boxes and its gradient, like offsets."""
        op, limits = self.op, cut_offsets(np.full(4, np.inf), self.op.field)[::2]
        # One limit for x and y, one for w and h, with the mean of means and of deviations.
        mean = np.reshape(op.means, (2, 2)).mean(1)
        deviation = np.sqrt(np.reshape(op.deviations, (2, 2)).prod(1))
        low, high = (np.repeat((s * limits - mean) / deviation, 2) for s in (-1, 1))
        wanted = (_offsets(found.boxes, op.field) - op.means) / op.deviations
        d = np.where(found.is_positive[..., None], np.clip(offsets, low, high) - wanted, 0)
        factor = op.scale / max(4 * int(found.is_positive.sum()), 1)
        if op.is_smooth:
            return factor * smooth_l1(np, d).sum(), factor * smooth_l1_slope(np, d)
        return factor * 0.5 * float((d * d).sum()), factor * d


@kernel(DetectionAccuracy)
class ReferenceDetectionAccuracy(ReferenceKernel[DetectionAccuracy]):
    """All cells at once."""

    def forward(self, x: Tensor, labels: Tensor, accuracy: Tensor, iou: Tensor) -> None:
        """Overwrite accuracy and iou."""
        op, found = self.op, _read_labels(labels, self.op)
        maps = np.moveaxis(x.get().astype(np.float64), 1, -1)
        with np.errstate(all="ignore"):  # a diverged net
            best = np.argsort(-maps[..., : op.n_classes], -1, kind="stable")[..., : op.top_k]
            is_right = (best == found.classes[..., None]).any(-1)
            counts = found.is_positive | found.is_candidate
            shares = [_mean(is_right[mask]) for mask in (counts, found.is_positive)]
            boxes = field_boxes(maps[..., op.n_classes :], op.field)
            centers, halves = found.boxes[..., :2], found.boxes[..., 2:] / 2
            true = np.concatenate([centers - halves, centers + halves], -1)
            near = _mean(cover(boxes, true)[found.is_positive])
        accuracy.set(np.reshape(shares, accuracy.shape))
        iou.set(np.reshape(near, iou.shape))


def _mean(values: HostArray) -> float:
    """Return the mean, -1 of nothing."""
    return float(values.mean()) if values.size else -1.0
