"""Permutation of axes."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Tensor
from minicaffe.ops.permute import Permute


@kernel(Permute)
class ReferencePermute(ReferenceKernel[Permute]):
    """Permute by views."""

    def __init__(self, backend: ReferenceBackend, op: Permute, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._permuted = tuple(op.sizes[axis] for axis in op.order)

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read().reshape(self.op.sizes)
        y.write().reshape(self._permuted)[...] = values.transpose(self.op.order)

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        out = dx.write().reshape(self.op.sizes)
        out.transpose(self.op.order)[...] = dy.read().reshape(self._permuted)
