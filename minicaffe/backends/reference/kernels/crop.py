"""Cropping as one slice."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Tensor
from minicaffe.ops.crop import Crop


@kernel(Crop)
class ReferenceCrop(ReferenceKernel[Crop]):
    """Crop, and pad the gradient with zeros."""

    def __init__(self, backend: ReferenceBackend, op: Crop, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        sizes = tensors[1].shape
        self.block = tuple(slice(o, o + n) for o, n in zip(op.offset, sizes, strict=True))

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        y.write()[...] = x.read()[self.block]

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        out = dx.write()
        out[...] = 0
        out[self.block] = dy.read()
