"""Product of images with one plane."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Tensor
from minicaffe.ops.segmentation.spatial_product import SpatialProduct


@kernel(SpatialProduct)
class ReferenceSpatialProduct(ReferenceKernel[SpatialProduct]):
    """A broadcast product."""

    def forward(self, x: Tensor, s: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self.xp.multiply(x.read(), s.read(), out=y.write())

    def backward(
        self, x: Tensor, s: Tensor, dy: Tensor, dx: Tensor | None, ds: Tensor | None
    ) -> None:
        """Overwrite dx and ds."""
        given = dy.read()
        if dx is not None:
            self.xp.multiply(given, s.read(), out=dx.write())
        if ds is not None:
            ds.write()[...] = (given * x.read()).sum(1, keepdims=True)
