"""Embedding look-up by fancy indexing."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import row_numbers
from minicaffe.ops.backend import Tensor
from minicaffe.ops.embed import Embed


@kernel(Embed)
class ReferenceEmbed(ReferenceKernel[Embed]):
    """Look up rows, and scatter-add their gradients."""

    def forward(self, rows: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        table, out = w.read(), y.write()
        out[...] = table[row_numbers(self.xp, rows.read(), len(table))]
        if b is not None:
            out += b.read()

    def backward_weights(
        self, rows: Tensor, dy: Tensor, dw: Tensor | None, db: Tensor | None
    ) -> None:
        """Add to dw and db."""
        given = dy.read()
        if dw is not None:
            table = dw.update()
            # A row may occur several times, and += with an index array would add to it only once.
            self.xp.add.at(table, row_numbers(self.xp, rows.read(), len(table)), given)
        if db is not None:
            db.update()[...] += given.sum(tuple(range(given.ndim - 1)))
