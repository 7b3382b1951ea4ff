"""Embedding lookup."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, kernel
from minicaffe.backends.cuda.kernels._channel_sums import NULL, Channels, ChannelSums, Result
from minicaffe.backends.cuda.kernels.rows import RowLookup
from minicaffe.backends.cuda.runtime.format import PLAIN, Format
from minicaffe.backends.cuda.runtime.loss_scale import inverse_scale_address
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.embed import Embed

# Small, so that a block sums many occurrences in parallel: a word may occur in a batch 100 times.
COLUMNS_PER_BLOCK = 32


@kernel(Embed)
class CudaEmbed(RowLookup[Embed]):
    """Rows of float weights, written in the format of inner products."""

    def __init__(self, backend: CudaBackend, op: Embed, *tensors: CudaTensor) -> None:
        rows, w = tensors[:2]
        super().__init__(backend, op, rows, *w.shape)
        self._form = Format(False, backend.format.value)
        self._channels = Channels(rows.size, w.shape[1], 1)
        self._sums = ChannelSums(backend, "given")

    def forward(self, rows: CudaTensor, w: CudaTensor, b: CudaTensor | None, y: CudaTensor) -> None:
        """Overwrite y."""
        terms = NULL if b is None else b.source()
        self.look_up("embed", y, self._form, rows.source(), w.source(), terms)

    def backward_weights(
        self, rows: CudaTensor, dy: CudaTensor, dw: CudaTensor | None, db: CudaTensor | None
    ) -> None:
        """Add to dw and db."""
        form, scale = self._form, dy.scale(self._form)
        if dw is not None:
            given = (rows.source(), dy.source(form))
            to, is_first = dw.accumulate()
            if is_first:
                self.device.clear(to, PLAIN.size_bytes(dw.shape))
            self.sum_rows(
                "add_rows", given, form, COLUMNS_PER_BLOCK, to, inverse_scale_address(scale)
            )
        if db is not None:
            terms = (NULL, dy.source(form))
            self._sums(self._channels, form.value, terms, Result(db.accumulate(), scale=scale))
