"""Inner product as one matrix product."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.inner_product import InnerProduct


@kernel(InnerProduct)
class ReferenceInnerProduct(ReferenceKernel[InnerProduct]):
    """y = x w^T + b on (M, K) and (N, K)."""

    def forward(self, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""
        out = self._rows(y.write())
        self.xp.matmul(self._rows(x.read()), self._filters(w.read()).T, out=out)
        if b is not None:
            out += b.read()

    def backward_data(self, dy: Tensor, w: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        out = self._rows(dx.write())
        self.xp.matmul(self._rows(dy.read()), self._filters(w.read()), out=out)

    def backward_weights(self, x: Tensor, dy: Tensor, dw: Tensor | None, db: Tensor | None) -> None:
        """Add to dw and db."""
        rows = self._rows(dy.read())
        if dw is not None:
            total = self._filters(dw.update())
            total += rows.T @ self._rows(x.read())
        if db is not None:
            db.update()[...] += rows.sum(0)

    def _rows(self, values: Array) -> Array:
        """Return (M..., K...) as (M, K)."""
        samples, vector = values.shape[: self.op.axis], values.shape[self.op.axis :]
        return values.reshape(math.prod(samples), math.prod(vector))

    def _filters(self, w: Array) -> Array:
        """Return the weights as (N, K), transposed if they are stored as (K, N)."""
        return w.T if self.op.transpose else w
