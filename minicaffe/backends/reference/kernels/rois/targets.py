"""Targets of region proposal networks and region classifiers, on the host."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.backends.reference.kernels.rois._anchors import placed_anchors
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.rois.targets import AnchorTarget, RoiTarget
from minicaffe.pixel_boxes import (
    box_codes,
    pixel_overlaps,
)

_IGNORED = -1
_MOST_CLASSES = 1 << 24  # all whole numbers that a float32 can hold


@kernel(AnchorTarget)
class ReferenceAnchorTarget(ReferenceKernel[AnchorTarget]):
    """All anchors at once."""

    def forward(
        self, truths: Tensor, info: Tensor, outputs: tuple[Tensor, ...], random: np.random.Generator
    ) -> None:
        """Overwrite the outputs: labels, targets, inside, outside."""
        n, (rows, columns) = len(self.op.anchors), outputs[1].shape[2:]
        image_rows, image_columns = info.get().ravel()[:2]
        found = truths.get().reshape(-1, 5).astype(np.float64)
        anchors = placed_anchors(self.op.anchors, rows, columns, self.op.stride).reshape(-1, 4)
        is_inside = (anchors[:, :2] >= 0).all(1) & (
            anchors[:, 2:] < [image_columns, image_rows]
        ).all(1)
        used = np.flatnonzero(is_inside)
        labels, targets = np.full(len(anchors), float(_IGNORED)), np.zeros((len(anchors), 4))
        if len(used) and len(found):
            overlaps = pixel_overlaps(anchors[used, None], found)
            labels[used] = self._labels(overlaps, random)
            targets[used] = box_codes(anchors[used], found[overlaps.argmax(1)])
        elif len(used):
            labels[used] = self._sampled(np.zeros(len(used)), random)
        inside = np.repeat((labels == 1)[:, None], 4, 1).astype(float)
        counts = labels != _IGNORED
        outside = np.repeat(counts[:, None], 4, 1) / max(counts.sum(), 1)
        for tensor, values in zip(outputs, (labels, targets, inside, outside), strict=True):
            maps = values.reshape(rows, columns, n, -1).transpose(2, 3, 0, 1)
            tensor.set(maps.reshape(tensor.shape))

    def _labels(self, overlaps: HostArray, random: np.random.Generator) -> HostArray:
        """Return the labels of anchors from their overlaps with truths (anchors, G)."""
        best = overlaps.max(1)
        labels = np.where(best < self.op.negative, 0.0, float(_IGNORED))
        labels[(overlaps == overlaps.max(0)).any(1)] = 1
        labels[best >= self.op.positive] = 1
        return self._sampled(labels, random)

    def _sampled(self, labels: HostArray, random: np.random.Generator) -> HostArray:
        """Return the labels with as many ones and zeros as the batch allows."""
        most = round(self.op.share * self.op.batch)
        for label in (1, 0):
            having = np.flatnonzero(labels == label)
            surplus = len(having) - most
            if surplus > 0:
                labels[random.choice(having, surplus, replace=False)] = _IGNORED
            most = self.op.batch - int((labels == 1).sum())
        return labels


@kernel(RoiTarget)
class ReferenceRoiTarget(ReferenceKernel[RoiTarget]):
    """All candidates at once."""

    def __init__(self, backend: ReferenceBackend, op: RoiTarget, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._rois, self._labels, self._codes = np.zeros((0, 5)), np.zeros(0, int), np.zeros((0, 4))

    def choose(self, rois: Tensor, truths: Tensor, random: np.random.Generator) -> int:
        """Choose regions and return their number."""
        op, found = self.op, truths.get().reshape(-1, 5).astype(np.float64)
        # With two classes every object is class 1 of the targets.
        limit = op.n_classes if op.n_classes > 2 else _MOST_CLASSES
        classes, _ = class_indices(np, found[:, 4], limit)
        own = np.insert(found[:, :4], 0, 0, 1)
        candidates = np.concatenate([rois.get().reshape(-1, 5).astype(np.float64), own])
        best, nearest = np.zeros(len(candidates)), np.zeros(len(candidates), int)
        if len(found):
            overlaps = pixel_overlaps(candidates[:, None, 1:], found)
            best, nearest = overlaps.max(1), overlaps.argmax(1)
        chosen, n_objects = self._chosen(best, random)
        self._rois = candidates[chosen]
        self._labels = np.append(classes, 0)[nearest[chosen]]
        self._labels[n_objects:] = 0
        self._codes = np.zeros((len(chosen), 4))
        if len(found):
            codes = box_codes(self._rois[:, 1:], found[nearest[chosen], :4])
            self._codes = (codes - op.means) / op.deviations
        return len(chosen)

    def forward(self, outputs: tuple[Tensor, ...]) -> None:
        """Overwrite the outputs: rois, labels, targets, inside, outside."""
        n = len(self._rois)
        targets, weights = np.zeros((2, n, self.op.n_classes, 4))
        objects = np.flatnonzero(self._labels)
        place = np.minimum(self._labels[objects], self.op.n_classes - 1)
        targets[objects, place], weights[objects, place] = self._codes[objects], 1
        values = self._rois, self._labels, targets, weights, weights
        for tensor, array in zip(outputs, values, strict=True):
            tensor.set(array.reshape(tensor.shape))

    def _chosen(self, best: HostArray, random: np.random.Generator) -> tuple[HostArray, int]:
        """Return the chosen candidates, objects first, and the number of objects."""
        op = self.op
        objects = np.flatnonzero(best >= op.foreground)
        others = np.flatnonzero((best < op.background_to) & (best >= op.background_from))
        if op.batch is not None:
            objects = _some(objects, round(op.share * op.batch), random)
            others = _some(others, op.batch - len(objects), random)
        return np.concatenate([objects, others]), len(objects)


def _some(items: HostArray, most: int, random: np.random.Generator) -> HostArray:
    """Return at most so many of the items, chosen at random."""
    return random.choice(items, most, replace=False) if len(items) > most else items
