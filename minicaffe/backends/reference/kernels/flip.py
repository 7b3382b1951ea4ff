"""Reversal of axes."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Tensor
from minicaffe.ops.flip import Flip


@kernel(Flip)
class ReferenceFlip(ReferenceKernel[Flip]):
    """Reverse axes."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        y.write()[...] = self.xp.flip(x.read(), self.op.axes)
