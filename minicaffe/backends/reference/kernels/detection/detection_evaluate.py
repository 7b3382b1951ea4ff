"""Comparison of detections with true boxes, on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.detection._boxes import overlap_table
from minicaffe.backends.reference.kernels.detection._truth import require_objects
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.detection.detection_evaluate import DetectionEvaluate


@kernel(DetectionEvaluate)
class ReferenceDetectionEvaluate(ReferenceKernel[DetectionEvaluate]):
    """Compare class by class; the rows stay on the host until they are written."""

    def compare(self, detections: Tensor, truth: Tensor, sizes: Sequence[tuple[int, int]]) -> int:
        """Compare and return the number of rows."""
        found = self._counting(detections.get().reshape(-1, 7))
        true = self._counting(truth.get().reshape(-1, 8))
        self._pixel = 1 if sizes else 0
        if sizes:
            found[:, 3:7] = self._pixels(found, np.array(sizes))
            true[:, 3:7] = self._pixels(true, np.array(sizes))
        found = found[np.lexsort([found[:, 1], found[:, 0]])]
        _, starts = np.unique(found[:, :2], axis=0, return_index=True)
        parts = np.split(found, starts[1:]) if len(found) else []
        rows = [self._rows_of(part, true) for part in parts]
        self._rows = np.concatenate([self._counts(true), *rows])
        return len(self._rows)

    def forward(self, y: Tensor) -> None:
        """Overwrite y."""
        y.set(self._rows.reshape(y.shape))

    def _counting(self, rows: HostArray) -> HostArray:
        """Return the rows that count."""
        rows = rows[(rows[:, :2] != -1).all(1)]
        require_objects(rows[:, 0], rows[:, 1], self.op.n_classes, self.op.background)
        return rows

    def _pixels(self, rows: HostArray, sizes: HostArray) -> HostArray:
        """Return boxes in pixels of their images, (n, 4)."""
        boxes, size = rows[:, 3:7], sizes[rows[:, 0].astype(int)]
        if self.op.padded_size is not None:
            # The share of the padded image that the given one has, along rows and columns.
            share = size / np.array(self.op.padded_size)
            share = np.tile((share / share.max(1, keepdims=True))[:, ::-1], 2)
            boxes = (boxes - (1 - share) / 2) / share
        pixels: HostArray = boxes.clip(0, 1) * np.tile(size[:, ::-1], 2)
        return pixels

    def _counts(self, true: HostArray) -> HostArray:
        """Return a row for each class, with the number of its true boxes."""
        labels = [k for k in range(self.op.n_classes) if k != self.op.background]
        counted = true if self.op.counts_difficult else true[true[:, 7] == 0]
        numbers = [(counted[:, 1] == label).sum() for label in labels]
        rows = np.full((len(labels), 5), -1, true.dtype)
        rows[:, 1], rows[:, 2] = labels, numbers
        return rows

    def _rows_of(self, found: HostArray, true: HostArray) -> HostArray:
        """Return the rows of n detections of one image and class, (n, 5)."""
        true = true[(true[:, :2] == found[0, :2]).all(1)]
        rows = np.tile(np.array([0, 0, 0, 0, 1], found.dtype), (len(found), 1))
        if len(true):
            found = found[np.argsort(-found[:, 2], kind="stable")]
            table = overlap_table(found[:, 3:], true[:, 3:7], self._pixel)
            visited = np.zeros(len(true), bool)
            for row, best in enumerate(table.argmax(1)):
                if table[row, best] < self.op.overlap_threshold:
                    continue
                if true[best, 7] and not self.op.counts_difficult:
                    rows[row, 3:] = 0, 0
                elif not visited[best]:
                    rows[row, 3:] = 1, 0
                    visited[best] = True
        rows[:, :3] = found[:, :3]
        return rows
