"""Parametric ReLU."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.prelu import PReLU


@kernel(PReLU)
class ReferencePReLU(ReferenceKernel[PReLU]):
    """Slopes broadcast over the axes after the channels."""

    def __init__(self, backend: ReferenceBackend, op: PReLU, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, a, y = tensors
        self._slopes = a.shape + (1,) * (len(x.shape) - 2) if a.shape else ()
        # The axes that one slope covers.
        self._axes = (0, *range(2, len(x.shape))) if a.shape else None
        self._saved: Array = self.xp.empty(x.shape, backend.dtype) if x is y else None

    def forward(self, x: Tensor, a: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read()
        if self._saved is not None:
            self._saved[...] = values
        slopes = a.read().reshape(self._slopes)
        # As in Caffe, a slope of NaN or infinity makes all values of its channel NaN.
        y.write()[...] = self.xp.maximum(values, 0) + slopes * self.xp.minimum(values, 0)

    def backward_weights(self, x: Tensor, dy: Tensor, da: Tensor) -> None:
        """Add to da."""
        values = self._input(x)
        da.update()[...] += (dy.read() * (values * (values <= 0))).sum(self._axes)

    def backward_data(self, x: Tensor, a: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        slopes = a.read().reshape(self._slopes)
        values = self._input(x)
        dx.write()[...] = dy.read() * ((values > 0) + slopes * (values <= 0))

    def _input(self, x: Tensor) -> Array:
        return x.read() if self._saved is None else self._saved
