"""Adaptive piecewise linear units."""

from __future__ import annotations

import math
from collections.abc import Iterator

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.apl import PiecewiseLinear
from minicaffe.ops.backend import Array, Tensor


@kernel(PiecewiseLinear)
class ReferencePiecewiseLinear(ReferenceKernel[PiecewiseLinear]):
    """A pass over the values for each hinge; in place, save a copy of x."""

    def __init__(self, backend: ReferenceBackend, op: PiecewiseLinear, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, y = tensors[0], tensors[-1]
        self._samples = (x.shape[0], math.prod(x.shape[1:]))
        self._hinges = (self._samples[1], op.hinges)
        self._saved: Array = self.xp.empty(self._samples, backend.dtype) if x is y else None

    def forward(self, x: Tensor, a: Tensor, b: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        values = x.read().reshape(self._samples)
        if self._saved is not None:
            self._saved[...] = values
            values = self._saved
        out = y.write().reshape(self._samples)
        self.xp.maximum(values, 0, out=out)
        for slope, offset in self._each(a.read(), b.read()):
            out += slope * self.xp.maximum(offset - values, 0)

    def backward_weights(
        self, x: Tensor, a: Tensor, b: Tensor, dy: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Add to da and db."""
        values, given = self._values(x), dy.read().reshape(self._samples)
        totals = [None if t is None else t.update().reshape(self._hinges) for t in (da, db)]
        for s, (slope, offset) in enumerate(self._each(a.read(), b.read())):
            if totals[0] is not None:
                totals[0][:, s] += (given * self.xp.maximum(offset - values, 0)).sum(0)
            if totals[1] is not None:
                totals[1][:, s] += slope * (given * (offset > values)).sum(0)

    def backward_data(self, x: Tensor, a: Tensor, b: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        values, given = self._values(x), dy.read().reshape(self._samples)
        slopes = (values > 0).astype(given.dtype)
        for slope, offset in self._each(a.read(), b.read()):
            slopes -= slope * (offset > values)
        self.xp.multiply(given, slopes, out=dx.write().reshape(self._samples))

    def _values(self, x: Tensor) -> Array:
        return x.read().reshape(self._samples) if self._saved is None else self._saved

    def _each(self, a: Array, b: Array) -> Iterator[tuple[Array, Array]]:
        """Yield slopes and offsets of each hinge, (K,)."""
        yield from zip(a.reshape(self._hinges).T, b.reshape(self._hinges).T, strict=True)
