"""Selection of detections, on the host."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.detection._boxes import decode, suppress
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.detection.detection_output import DetectionOutput


@kernel(DetectionOutput)
class ReferenceDetectionOutput(ReferenceKernel[DetectionOutput]):
    """Decode, suppress and rank; the rows stay on the host until they are written."""

    def choose(
        self,
        loc: Tensor,
        conf: Tensor,
        prior: Tensor,
        arm_conf: Tensor | None,
        arm_loc: Tensor | None,
    ) -> int:
        """Select boxes and return the number of rows."""
        op = self.op
        priors, variances = prior.get().reshape(2, -1, 1, 4)
        n_images, n_priors = loc.shape[0], len(priors)
        codes = loc.get().reshape(n_images, n_priors, -1, 4)
        scores = conf.get().reshape(n_images, n_priors, op.n_classes)
        if arm_loc is not None:
            moves = arm_loc.get().reshape(n_images, n_priors, 1, 4)
            priors = decode(op.code, moves, priors, variances)
        if arm_conf is not None:
            objectness = arm_conf.get().reshape(n_images, n_priors, 2)[..., 1]
            scores[objectness < op.min_objectness] = np.arange(op.n_classes) == op.background
        boxes = decode(op.code, codes, priors, variances)
        no_rows = np.zeros((0, 6), codes.dtype)
        found = [self._ranked(boxes[image], scores[image]) for image in range(n_images)]
        images = np.repeat(np.arange(n_images, dtype=codes.dtype), [len(rows) for rows in found])
        self._rows = np.column_stack([images, np.concatenate([no_rows, *found])])
        if not len(self._rows):
            self._rows = np.full((n_images, 7), -1, codes.dtype)
            self._rows[:, 0] = np.arange(n_images)
        return len(self._rows)

    def forward(self, y: Tensor) -> None:
        """Overwrite y."""
        y.set(self._rows.reshape(y.shape))

    def _ranked(self, boxes: HostArray, scores: HostArray) -> HostArray:
        """Return the rows of an image but for the first column, (n, 6), boxes (P, L, 4)."""
        found = [*self._by_class(boxes, scores), np.zeros((0, 6), boxes.dtype)]
        rows = np.concatenate(found)
        if self.op.keep_top_k is not None and len(rows) > self.op.keep_top_k:
            best = np.argsort(-rows[:, 1], kind="stable")[: self.op.keep_top_k]
            rows = rows[np.sort(best)]
        return rows

    def _by_class(self, boxes: HostArray, scores: HostArray) -> Iterator[HostArray]:
        for label in range(self.op.n_classes):
            if label == self.op.background:
                continue
            given = scores[:, label]
            at = np.arange(len(given))
            if self.op.min_score is not None:
                at = np.flatnonzero(given > self.op.min_score)
            of_class = boxes[at, 0 if self.op.shares_location else label]
            kept = suppress(self.op.suppression, of_class, given[at])
            labels = np.full((len(kept), 1), label, boxes.dtype)
            yield np.concatenate([labels, given[at[kept], None], of_class[kept]], 1)
