"""Loss of triplets."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.loss import rows
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.face.triplet_loss import TripletLoss


@kernel(TripletLoss)
class ReferenceTripletLoss(ReferenceKernel[TripletLoss]):
    """Squared distance to the positive less that to the negative."""

    def forward(self, a: Tensor, p: Tensor, n: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""
        lack = self._lack(*(rows(t.read()) for t in (a, p, n)))
        loss.write()[...] = self.xp.maximum(lack, 0).sum() / max(2 * len(lack), 1)

    def backward(
        self, inputs: tuple[Tensor, Tensor, Tensor], dloss: Tensor, diffs: Sequence[Tensor | None]
    ) -> None:
        """Overwrite the gradients."""
        a, p, n = (rows(t.read()) for t in inputs)
        is_active = self._lack(a, p, n) > 0
        scale = self.xp.where(is_active, dloss.read() / max(len(a), 1), 0)[:, None]
        for diff, gradient in zip(diffs, (n - p, p - a, a - n), strict=True):
            if diff is not None:
                out = diff.write()
                out[...] = (gradient * scale).reshape(out.shape)

    def _lack(self, a: Array, p: Array, n: Array) -> Array:
        return self.op.margin + ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1)
