"""Segmentation beside YOLO."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.activation import sigmoid
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.yolo.segmentation import MaskIou, MaskLoss


@kernel(MaskLoss)
class ReferenceMaskLoss(ReferenceKernel[MaskLoss]):
    """A squared loss of masks."""

    def forward(self, inputs: Sequence[Tensor], loss: Tensor) -> None:
        """Overwrite loss."""
        apart = self._apart(inputs)
        loss.write()[...] = (apart * apart).sum() / max(len(apart), 1)

    def backward(self, inputs: Sequence[Tensor], dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        apart = self._apart(inputs)
        dx.write()[...] = apart * (dloss.read() / max(len(apart), 1))

    def _apart(self, inputs: Sequence[Tensor]) -> Array:
        """Return the weighted differences of scores and targets."""
        xp, x, t = self.xp, inputs[0].read(), inputs[1].read()
        apart = self.op.scale * (sigmoid(xp, x) - t)
        if len(inputs) > 2:
            n, c, h, w = x.shape
            counts = inputs[2].read().reshape(n, c).sum(0)
            weights = 2 - counts / xp.maximum(n * h * w - counts, 1)
            apart = xp.where(t != 0, apart * weights[:, None, None], apart)
        return apart


@kernel(MaskIou)
class ReferenceMaskIou(ReferenceKernel[MaskIou]):
    """Intersection over union of masks."""

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        xp = self.xp
        a, b = (tensor.read() > self.op.threshold for tensor in (x, t))
        shared, both = ((mask).sum((0, 2, 3)) for mask in (a & b, a | b))
        out = y.write()
        out[...] = xp.where(both > 0, shared / xp.maximum(both, 1), 1).reshape(out.shape)
