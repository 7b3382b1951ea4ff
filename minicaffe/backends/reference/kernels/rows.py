"""Gather and filter rows by fancy indexing."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import row_numbers
from minicaffe.ops.backend import Tensor
from minicaffe.ops.rows import FilterRows, TakeRows


@kernel(TakeRows)
class ReferenceTakeRows(ReferenceKernel[TakeRows]):
    """Gather rows, and scatter-add their gradients."""

    def forward(self, x: Tensor, rows: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read()
        y.write()[...] = values[row_numbers(self.xp, rows.read(), len(values))]

    def backward(self, rows: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        out = dx.write()
        out[...] = 0
        # A row may occur several times, and += with an index array would add to it only once.
        self.xp.add.at(out, row_numbers(self.xp, rows.read(), len(out)), dy.read())


@kernel(FilterRows)
class ReferenceFilterRows(ReferenceKernel[FilterRows]):
    """Select, then copy rows."""

    def __init__(self, backend: ReferenceBackend, op: FilterRows, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self.rows = self.xp.arange(tensors[0].shape[0])

    def choose(self, selector: Tensor) -> int:
        """Select rows and return their number."""
        self.rows = self.xp.flatnonzero(selector.read())
        return len(self.rows)

    def forward(self, xs: Sequence[Tensor], ys: Sequence[Tensor]) -> None:
        """Overwrite the ys."""
        for x, y in zip(xs, ys, strict=True):
            y.write()[...] = x.read()[self.rows]

    def backward(self, dys: Sequence[Tensor], dxs: Sequence[Tensor | None]) -> None:
        """Overwrite the dxs."""
        for dy, dx in zip(dys, dxs, strict=True):
            if dx is not None:
                out = dx.write()
                out[...] = 0
                out[self.rows] = dy.read()
