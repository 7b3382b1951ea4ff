"""Look-ups by index, and rows that are kept or left out."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.onnx_export.backend import Emitter, OpT, emitter
from minicaffe.ops.backend import Tensor
from minicaffe.ops.embed import Embed
from minicaffe.ops.rows import FilterRows, TakeRows

_INT64, _BOOL = 7, 9  # types of ONNX


class _Indexing(Emitter[OpT]):
    def _indices(self, tensor: Tensor, limit: int) -> str:
        """Return the value as whole numbers below `limit`."""
        name = self.read(tensor)
        if name in self.graph.inputs:
            self.graph.limits[name] = min(limit, self.graph.limits.get(name, limit))
        return self.graph.one("Cast", name, to=_INT64)


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
        """Return the number of all rows, as if each were kept."""
        n = math.prod(selector.shape)
        value = self.read(selector, (n,))
        if self.read(selector) in self.graph.inputs:
            self.graph.limits[self.read(selector)] = 2
        self._is_kept = self.graph.one("Cast", value, to=_BOOL)
        self.graph.has_free_rows = True
        return n

    def forward(self, xs: Sequence[Tensor], ys: Sequence[Tensor]) -> None:
        """Overwrite the ys."""
        for x, y in zip(xs, ys, strict=True):
            name = self.graph.one("Compress", self.read(x), self._is_kept, axis=0)
            self.write(y, name)
