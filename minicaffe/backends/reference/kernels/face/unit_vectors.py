"""Vectors of weights made unit length."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Tensor
from minicaffe.ops.face.unit_vectors import UnitVectors

# Keeps vectors of zeros finite.
TINY = 1e-12


@kernel(UnitVectors)
class ReferenceUnitVectors(ReferenceKernel[UnitVectors]):
    """Scale in place."""

    def forward(self, w: Tensor) -> None:
        """Overwrite w."""
        values = w.update()
        squares = (values * values).sum(self.op.axis, keepdims=True)
        values /= self.xp.sqrt(squares + TINY)
