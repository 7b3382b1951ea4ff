"""Copies of tensors."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaKernel, kernel
from minicaffe.backends.cuda.runtime.format import PLAIN
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.layout import Copy


@kernel(Copy)
class CudaCopy(CudaKernel[Copy]):
    """A copy in the format of x, or in C order if the shape changes."""

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = x.format if x.shape == y.shape else PLAIN
        given = x.source(form)
        self.device.copy(given, y.target(form), form.size_bytes(x.shape))
