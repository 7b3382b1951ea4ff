"""Tile along an axis, in the format of x."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, kernel
from minicaffe.backends.cuda.driver.device import THREADS
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.kernels.concat import row_length
from minicaffe.backends.cuda.kernels.softmax import Rows, RowsKernel
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.tile import Tile


@kernel(Tile)
class CudaTile(RowsKernel[Tile]):
    """Tile; backward sums the gradients of the copies."""

    file = "tile"

    def __init__(self, backend: CudaBackend, op: Tile, x: CudaTensor, y: CudaTensor) -> None:
        super().__init__(backend, op)
        self._shape = x.shape

    def forward(self, x: CudaTensor, y: CudaTensor) -> None:
        """Overwrite y."""
        form = x.format
        rows = self._rows(y, form)
        self.use_team(rows)
        sizes = (y.size, *divisor(rows.classes), *divisor(rows.inner))
        given = x.source(form)
        self.launch("repeat", y.size, given, y.target(form), *sizes, value=form.value)

    def backward(self, dy: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        form = dy.format
        rows = self._rows(dy, form)
        n = -(-rows.n_rows // self.use_team(rows)) * THREADS
        given = dy.source(form)
        self.launch("add_copies", n, given, dx.target(form), *rows.args, value=form.value)

    def _rows(self, y: CudaTensor, form: Format) -> Rows:
        """Return the copies as classes: (outer, tiles, contiguous values of x)."""
        length = row_length(self._shape, self.op.axis, form)
        return Rows(y.size // max(length * self.op.tiles, 1), self.op.tiles, length)
