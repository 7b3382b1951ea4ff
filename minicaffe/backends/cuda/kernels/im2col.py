"""im2col and col2im in C order."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.kernels._columns import MAX_AXES, geometry
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.im2col import Im2col


@kernel(Im2col)
class CudaIm2col(CudaKernel[Im2col]):
    """im2col; backward is col2im."""

    file = "_columns"

    def __init__(self, backend: CudaBackend, op: Im2col, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)
        n_axes = len(op.kernel)
        if n_axes > MAX_AXES:
            raise Unsupported(f"no GPU kernel has windows over {n_axes} axes")
        image, out = x.shape[-n_axes:], y.shape[-n_axes:]
        windows = geometry(image, out, op.kernel, op.stride, op.pad, op.dilation)
        self._sizes = (x.shape[-n_axes - 1], *windows)

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = Format(False, x.format.value)
        given, to = x.source(form), y.target(form)
        self.launch("im2col", y.size, given, to, y.size, *self._sizes, value=form.value)

    def backward(self, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        form = Format(False, dy.format.value)
        given, to = dy.source(form), dx.target(form)
        self.launch("col2im", dx.size, given, to, dx.size, *self._sizes, value=form.value)
