"""Boxes of MS-CNN's second stage, on the host."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.mscnn.fields import Four
from minicaffe.ops.mscnn.region_boxes import BoxAccuracy, DecodeBoxes, RegionTarget
from minicaffe.pixel_boxes import (
    box_codes,
    decoded_boxes,
    pixel_overlaps,
)

# A region that overlaps its true box by more is the true box itself.
_OWN = 0.975


def _rows(tensor: Tensor, values: int) -> HostArray:
    """Return the values as rows, in float64."""
    return tensor.get().astype(np.float64).reshape(-1, values)


def _decoded(rois: HostArray, codes: HostArray, means: Four, deviations: Four) -> HostArray:
    """Return the boxes of codes at the corners of rois; ends count."""
    boxes = decoded_boxes(rois[:, 1:], codes * deviations + means)
    boxes[:, 2:] -= 1
    return boxes


@kernel(DecodeBoxes)
class ReferenceDecodeBoxes(ReferenceKernel[DecodeBoxes]):
    """All boxes at once."""

    def __init__(self, backend: ReferenceBackend, op: DecodeBoxes, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._boxes = np.zeros((0, 5))

    def decode(self, codes: Tensor, rois: Tensor, matches: Tensor | None) -> int:
        """Decode and return the number of boxes."""
        op, regions = self.op, _rows(rois, 5)
        with np.errstate(all="ignore"):  # the boxes of a diverged net
            boxes = _decoded(regions, _rows(codes, 8)[:, 4:], op.means, op.deviations)
        is_kept = np.ones(len(boxes), bool)
        if op.drops:
            is_kept &= (boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])
        if op.drops and matches is not None:
            is_kept &= _rows(matches, 6)[:, 5] < op.match_limit
        self._boxes = np.column_stack([regions[:, 0], boxes])[is_kept]
        return len(self._boxes)

    def forward(self, boxes: Tensor) -> None:
        """Overwrite boxes."""
        boxes.set(self._boxes.reshape(boxes.shape))


@kernel(BoxAccuracy)
class ReferenceBoxAccuracy(ReferenceKernel[BoxAccuracy]):
    """All boxes at once."""

    def forward(self, inputs: Sequence[Tensor], after: Tensor, before: Tensor) -> None:
        """Overwrite after and before."""
        op, codes = self.op, inputs[0]
        rois, matches = _rows(inputs[1], 5), _rows(inputs[2], 6)
        n_groups = math.prod(codes.shape[1:]) // 4
        groups = codes.get().astype(np.float64).reshape(len(rois), n_groups, 4)
        objects = np.flatnonzero((matches[:, 0] > 0) & (matches[:, 5] <= _OWN))
        group = np.ones(len(objects), int)
        if op.has_class_codes:
            group, _ = class_indices(np, matches[objects, 0], n_groups)
        rois, true = rois[objects], matches[objects, 1:5]
        with np.errstate(all="ignore"):  # the boxes of a diverged net
            boxes = _decoded(rois, groups[objects, group], op.means, op.deviations)
            for tensor, found in ((after, boxes), (before, rois[:, 1:])):
                mean = pixel_overlaps(found, true).mean() if len(true) else -1
                tensor.set(np.reshape(mean, tensor.shape))


@kernel(RegionTarget)
class ReferenceRegionTarget(ReferenceKernel[RegionTarget]):
    """All candidates at once."""

    def __init__(self, backend: ReferenceBackend, op: RegionTarget, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._rois, self._codes, self._matches = (np.zeros((0, k)) for k in (5, 4, 6))

    def choose(self, rois: Tensor, truths: Tensor, random: np.random.Generator) -> int:
        """Choose regions and return their number."""
        op, found = self.op, _rows(truths, 7)
        classes, _ = class_indices(np, found[:, 5], op.n_classes)
        candidates = np.concatenate([_rows(rois, 5), found[:, :5]])
        best, nearest = np.zeros(len(candidates)), np.zeros(len(candidates), int)
        if len(found):
            overlaps = pixel_overlaps(candidates[:, None, 1:], found[:, 1:5])
            overlaps[candidates[:, :1] != found[:, 0]] = 0
            best, nearest = overlaps.max(1), overlaps.argmax(1)
        is_ignored = np.append(found[:, 6] != 0, False)[nearest]
        objects, others = self._chosen(best, is_ignored, random)
        chosen = np.concatenate([objects, others])
        self._rois = candidates[chosen]
        self._codes, self._matches = np.zeros((len(chosen), 4)), np.zeros((len(chosen), 6))
        if n := len(objects):
            true = found[nearest[objects], 1:5]
            codes = box_codes(candidates[objects, 1:], true)
            self._codes[:n] = (codes - op.means) / op.deviations
            self._matches[:n] = np.column_stack([classes[nearest[objects]], true, best[objects]])
        return len(chosen)

    def forward(self, outputs: Sequence[Tensor]) -> None:
        """Overwrite the outputs."""
        n, groups = len(self._rois), self.op.n_classes if self.op.has_class_codes else 2
        labels = self._matches[:, 0].astype(int)
        targets, weights = np.zeros((2, n, groups, 4))
        objects = np.flatnonzero(labels)
        group = labels[objects] if self.op.has_class_codes else 1
        targets[objects, group], weights[objects, group] = self._codes[objects], 1
        values = [self._rois, labels, targets, weights, weights, self._matches, self._weights()]
        for tensor, array in zip(outputs, values, strict=False):
            tensor.set(np.reshape(array, tensor.shape))

    def _chosen(
        self, best: HostArray, is_ignored: HostArray, random: np.random.Generator
    ) -> tuple[HostArray, HostArray]:
        """Return the chosen objects and background."""
        op = self.op
        objects = np.flatnonzero((best >= op.foreground) & ~is_ignored)
        is_other = best < op.foreground
        is_background = (best >= op.background_from) & (best < op.background_to)
        others = np.flatnonzero(is_other & is_background)
        rest = np.flatnonzero(is_other & ~is_background)
        if op.batch is None:
            return objects, others
        most = round(op.share * op.batch)
        if len(objects) > most:
            objects = random.choice(objects, most, replace=False)
        most = op.batch - len(objects)
        if len(others) > most:
            return objects, random.choice(others, most, replace=False)
        return objects, np.concatenate([others, rest[: most - len(others)]])

    def _weights(self) -> HostArray:
        """Return the weight of each region in a softmax loss."""
        op, is_object = self.op, self._matches[:, 0] > 0
        weights = np.where(is_object & op.weights_iou, self._matches[:, 5], 1.0)
        of_objects = weights[is_object].sum()
        if of_objects:
            rest = max(weights[~is_object].sum(), 1)
            shares = np.where(is_object, op.share / of_objects, (1 - op.share) / rest)
            weights = weights * shares * len(weights)
        return weights
