"""Look-ups by index, and rows that are kept or left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.onnx_export.backend import Emitter, OpT, emitter
from minicaffe.onnx_export.drawn_inputs import WholeNumbers
from minicaffe.ops.backend import Tensor
from minicaffe.ops.embed import Embed
from minicaffe.ops.rows import FilterRows, TakeRows


class _Indexing(Emitter[OpT]):
    def _indices(self, tensor: Tensor, limit: int) -> str:
        """Return the value as whole numbers below `limit`."""
        name = self.read(tensor)
        self.graph.expect(name, WholeNumbers(limit))
        return self.graph.as_integers(name)


@emitter(Embed)
class EmbedEmitter(_Indexing[Embed]):
    """Gather, and Add with a bias."""

    def forward(self, rows: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        table = self.read(w)
        found = self.graph.one("Gather", table, self._indices(rows, w.shape[0]), axis=0)
        self.write(y, found if b is None else self.graph.one("Add", found, self.read(b)))


@emitter(TakeRows)
class TakeRowsEmitter(_Indexing[TakeRows]):
    """Gather."""

    def forward(self, x: Tensor, rows: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        indices = self._indices(rows, x.shape[0])
        self.write(y, self.graph.one("Gather", self.read(x), indices, axis=0))


@emitter(FilterRows)
class FilterRowsEmitter(Emitter[FilterRows]):
    """Compress; the number of rows is known only when the graph runs."""

    def choose(self, selector: Tensor) -> int:
        """Return a number of rows; the true one is known when the graph runs."""
        value = self.read(selector, (math.prod(selector.shape),))
        self.graph.expect(self.read(selector), WholeNumbers(2))
        self._is_kept = self.graph.as_truths(value)
        return self.graph.free_rows()

    def forward(self, xs: Sequence[Tensor], ys: Sequence[Tensor]) -> None:
        """Overwrite the ys."""
        for x, y in zip(xs, ys, strict=True):
            name = self.graph.one("Compress", self.read(x), self._is_kept, axis=0)
            self.write(y, name)
