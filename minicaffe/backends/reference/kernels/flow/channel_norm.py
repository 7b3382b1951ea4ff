"""Length of the channels of each pixel."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Tensor
from minicaffe.ops.flow.channel_norm import ChannelNorm


@kernel(ChannelNorm)
class ReferenceChannelNorm(ReferenceKernel[ChannelNorm]):
    """Root of the sum of squares."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read()
        self.xp.sqrt((values * values).sum(1, keepdims=True), out=y.write())

    def backward(self, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        length = y.read()
        share = dy.read() / self.xp.where(length == 0, 1, length)
        self.xp.multiply(x.read(), share, out=dx.write())
