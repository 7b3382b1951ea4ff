"""Boxes of MS-CNN's proposal net, on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.mscnn._fields import cover, field_boxes
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.mscnn.box_output import BoxOutput
from minicaffe.ops.mscnn.fields import Field
from minicaffe.suppression import Removal, keep_maxima

# What the top holds if nothing is found: image, corners, score.
NOTHING = [[0, 1, 1, 10, 10, 0]]


@kernel(BoxOutput)
class ReferenceBoxOutput(ReferenceKernel[BoxOutput]):
    """All cells of a map at once, then suppression image by image."""

    def __init__(self, backend: ReferenceBackend, op: BoxOutput, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._rows, self._is_empty = np.zeros((0, 6)), True

    def detect(self, xs: Sequence[Tensor]) -> int:
        """Find boxes and return the number of rows."""
        with np.errstate(all="ignore"):  # a diverged net has no boxes
            maps = zip(xs, self.op.fields, strict=True)
            found = np.concatenate([self._candidates(x.get(), field) for x, field in maps])
            rows = [self._kept(found[found[:, 0] == n]) for n in range(xs[0].shape[0])]
        self._rows = np.concatenate([*rows, np.zeros((0, 6))])
        self._is_empty = not len(self._rows)
        if self._is_empty:
            self._rows = np.array(NOTHING, float)
        return len(self._rows)

    def forward(self, boxes: Tensor, scored: Tensor | None) -> None:
        """Overwrite boxes and scored."""
        boxes.set(self._rows[:, :5].reshape(boxes.shape))
        if scored is not None:
            scored.set(self._rows.reshape(scored.shape) * (not self._is_empty))

    def _candidates(self, x: HostArray, field: Field) -> HostArray:
        """Return rows [image, x1, y1, x2, y2, score] of a map, by row and column."""
        op, maps = self.op, np.moveaxis(x.astype(np.float64), 1, -1)
        score = maps[..., 1:-4].max(-1) - maps[..., 0]
        boxes = field_boxes(maps[..., -4:] * op.deviations + op.means, field)
        rows, columns = x.shape[2:]
        ends = np.array([columns, rows]) * field.step
        sizes = boxes[..., 2:] - boxes[..., :2]
        boxes[..., :2] = np.maximum(boxes[..., :2], 0)
        # A box that is cut at 0 keeps its size.
        boxes[..., 2:] = np.minimum(boxes[..., :2] + sizes, ends)
        is_large = (boxes[..., 2:] - boxes[..., :2] >= op.least_size).all(-1)
        at = np.nonzero((score >= op.least_score) & is_large)
        return np.column_stack([at[0], boxes[at], score[at]])

    def _kept(self, rows: HostArray) -> HostArray:
        """Return the rows of an image that are kept."""
        op = self.op
        rows = rows[np.argsort(-rows[:, 5], kind="stable")][: op.before or None]

        def overlaps(kept: HostArray, others: HostArray) -> HostArray:
            return cover(rows[kept, None, 1:5], rows[others, 1:5], op.cover)

        return rows[keep_maxima(len(rows), overlaps, Removal(op.threshold), op.after or None)]
