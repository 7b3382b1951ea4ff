"""Local response normalisation as sums of shifted arrays, one for each tap of the window."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.lrn import Lrn


@kernel(Lrn)
class ReferenceLrn(ReferenceKernel[Lrn]):
    """Local response normalisation; forward saves `scale` and its power."""

    def __init__(self, backend: ReferenceBackend, op: Lrn, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        # A square window is a sum over rows of sums over columns.
        self.axes = (1,) if op.region == "across" else (2, 3)
        self.factor = op.alpha / op.local_size ** len(self.axes)
        self.scale: Array = None
        self.shrink: Array = None

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read()
        self.scale = self._neighbours(values * values)
        self.scale *= self.factor
        self.scale += self.op.k
        self.shrink = self.scale**-self.op.beta
        self.xp.multiply(values, self.shrink, out=y.write())

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        values, given, out = x.read(), dy.read(), dx.write()
        shares = given * values
        shares *= self.shrink
        shares /= self.scale
        own = given * self.shrink  # before dx, which may be dy, is written
        out[...] = self._neighbours(shares)
        out *= values
        out *= -2 * self.factor * self.op.beta
        out += own

    def _neighbours(self, values: Array) -> Array:
        """Return the sum over the window around each value; the window is symmetric."""
        for axis in self.axes:
            total = values.copy()
            size = values.shape[axis]
            for distance in range(1, min(self.op.local_size // 2, size - 1) + 1):
                near = (slice(None),) * axis + (slice(None, size - distance),)
                far = (slice(None),) * axis + (slice(distance, None),)
                total[near] += values[far]
                total[far] += values[near]
            values = total
        return values
