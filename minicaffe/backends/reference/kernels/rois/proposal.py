"""Region proposals, on the host."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.rois._anchors import placed_anchors
from minicaffe.ops.backend import Tensor
from minicaffe.ops.rois.proposal import Proposal
from minicaffe.pixel_boxes import (
    centers_and_sizes,
    cut_to_image,
    decoded_boxes,
    suppressed,
)


@kernel(Proposal)
class ReferenceProposal(ReferenceKernel[Proposal]):
    """All anchors at once, then suppression."""

    def __init__(self, backend: ReferenceBackend, op: Proposal, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._rois, self._scores = np.zeros((0, 5)), np.zeros(0)

    def propose(self, scores: Tensor, deltas: Tensor, info: Tensor) -> int:
        """Find proposals and return their number."""
        op, (_, _, rows, columns) = self.op, scores.shape
        n = len(op.anchors)
        image_rows, image_columns, *scales = info.get().ravel().astype(np.float64)
        score = np.moveaxis(scores.get()[0, n:], 0, -1).ravel().astype(np.float64)
        codes = deltas.get()[0].reshape(n, 4, rows, columns).transpose(2, 3, 0, 1)
        with np.errstate(all="ignore"):  # the boxes of a diverged net
            anchors = placed_anchors(op.anchors, rows, columns, op.stride)
            boxes = decoded_boxes(anchors, codes.astype(np.float64)).reshape(-1, 4)
            boxes = cut_to_image(boxes, image_rows, image_columns)
            # The scale of columns is the last one.
            least = op.min_size * np.array([scales[-1], scales[0]])
            is_large = (centers_and_sizes(boxes)[1] >= least).all(-1)
            candidates = np.flatnonzero(is_large) if op.drops_small else np.arange(len(boxes))
            score = np.where(is_large, score, 0)
            order = candidates[np.argsort(-score[candidates], kind="stable")][: op.before]
            kept = order[suppressed(boxes[order], op.threshold, op.after)]
        whole = [[0, 0, image_columns - 1, image_rows - 1]]
        found, self._scores = (boxes[kept], score[kept]) if len(kept) else (whole, np.zeros(1))
        self._rois = np.insert(np.array(found), 0, 0, 1)
        return len(self._rois)

    def forward(self, rois: Tensor, roi_scores: Tensor | None) -> None:
        """Overwrite rois and scores."""
        rois.set(self._rois.reshape(rois.shape))
        if roi_scores is not None:
            roi_scores.set(self._scores.reshape(roi_scores.shape))
