"""Reversal of sequences by gathering along the time axis."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import row_numbers
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.sequence.reverse_time import ReverseTime


@kernel(ReverseTime)
class ReferenceReverseTime(ReferenceKernel[ReverseTime]):
    """Reverse, and reverse the gradient."""

    def forward(self, x: Tensor, lengths: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self._reverse(x.read(), lengths, y.write())

    def backward(self, lengths: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        self._reverse(dy.read(), lengths, dx.write())

    def _reverse(self, given: Array, lengths: Tensor, out: Array) -> None:
        xp, n_steps = self.xp, len(given)
        ends = row_numbers(xp, lengths.read(), n_steps + 1)
        steps = xp.arange(n_steps)[:, None]
        is_inside = steps < ends
        sources = xp.where(is_inside, ends - 1 - steps, steps)
        out[...] = given[sources, xp.arange(given.shape[1])]
        if not self.op.copies_rest:
            out[~is_inside] = 0
