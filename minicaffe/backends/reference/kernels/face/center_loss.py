"""Distance of samples to the centre of their class."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.backends.reference.kernels.loss import rows
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.face.center_loss import CenterLoss


@kernel(CenterLoss)
class ReferenceCenterLoss(ReferenceKernel[CenterLoss]):
    """Half the mean squared distance to the centres."""

    def forward(self, x: Tensor, labels: Tensor, centers: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""
        apart, _ = self._apart(x, labels, centers)
        loss.write()[...] = (apart * apart).sum() / max(2 * len(apart), 1)

    def backward(
        self, x: Tensor, labels: Tensor, centers: Tensor, dloss: Tensor, dx: Tensor
    ) -> None:
        """Overwrite dx."""
        apart, _ = self._apart(x, labels, centers)
        out = dx.write()
        out[...] = (apart * (dloss.read() / max(len(apart), 1))).reshape(out.shape)

    def move_centers(self, x: Tensor, labels: Tensor, centers: Tensor, dcenters: Tensor) -> None:
        """Add to dcenters."""
        xp, total = self.xp, dcenters.update()
        apart, classes = self._apart(x, labels, centers)
        steps = xp.zeros(total.shape, total.dtype)
        xp.add.at(steps, classes, apart)
        count = xp.bincount(classes, minlength=len(total))
        total -= steps / (1 + count)[:, None].astype(total.dtype)

    def _apart(self, x: Tensor, labels: Tensor, centers: Tensor) -> tuple[Array, Array]:
        """Return the difference of each sample to its centre, (N, K), and its class."""
        table = centers.read()
        classes, _ = class_indices(self.xp, labels.read().reshape(-1), len(table))
        return rows(x.read()) - table[classes], classes
