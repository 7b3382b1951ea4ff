"""Prior boxes of a feature map."""

from __future__ import annotations

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.detection.prior_box import PriorBox


@kernel(PriorBox)
class ReferencePriorBox(ReferenceKernel[PriorBox]):
    """Write boxes that were computed once: they depend on shapes only."""

    def __init__(self, backend: ReferenceBackend, op: PriorBox, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        boxes = prior_boxes(op)
        variances = np.broadcast_to(op.variances, boxes.shape)
        both = np.stack([boxes, variances]).reshape(tensors[0].shape)
        self._values = self.xp.asarray(both, backend.dtype)

    def forward(self, y: Tensor) -> None:
        """Overwrite y."""
        y.write()[...] = self._values


def prior_boxes(op: PriorBox) -> HostArray:
    """Return the boxes, float64, shape (rows, columns, sizes, 4)."""
    rows, columns = ((np.arange(op.cells[k]) + op.offset) * op.step[k] for k in (0, 1))
    centers = np.stack(np.meshgrid(columns, rows), -1)[:, :, None]
    half = np.array(op.sizes)[:, ::-1] / 2
    scale = np.tile(op.image[::-1], 2)
    boxes: HostArray = np.concatenate([centers - half, centers + half], -1) / scale
    return boxes.clip(0, 1) if op.clip else boxes
