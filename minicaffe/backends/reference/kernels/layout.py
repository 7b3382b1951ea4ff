"""Copies and sums of tensors."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Tensor
from minicaffe.ops.layout import Add, Copy


@kernel(Copy)
class ReferenceCopy(ReferenceKernel[Copy]):
    """Copy one tensor."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        out = y.write()
        out[...] = x.read().reshape(out.shape)


@kernel(Add)
class ReferenceAdd(ReferenceKernel[Add]):
    """Add several tensors."""

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""
        out = y.write()
        out[...] = xs[0].read()
        for x in xs[1:]:
            out += x.read()
