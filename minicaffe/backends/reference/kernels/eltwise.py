"""Elementwise sum, product and maximum, one input after another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.eltwise import Eltwise


@kernel(Eltwise)
class ReferenceEltwise(ReferenceKernel[Eltwise]):
    """Sum, product and maximum; `chosen` is the index of the x that max selected."""

    def __init__(self, backend: ReferenceBackend, op: Eltwise, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self.chosen: Array = None

    def forward(self, xs: Sequence[Tensor], y: Tensor) -> None:
        """Overwrite y."""
        combine = getattr(self, f"_{self.op.operation}")
        combine([x.read() for x in xs], y.write())

    def backward(
        self, xs: Sequence[Tensor], y: Tensor, dy: Tensor, dxs: Sequence[Tensor | None]
    ) -> None:
        """Overwrite the dxs."""
        for i, dx in enumerate(dxs):
            if dx is not None:
                self._backward(i, xs, y, dy.read(), dx.write())

    def _backward(self, i: int, xs: Sequence[Tensor], y: Tensor, dy: Array, out: Array) -> None:
        if self.op.operation == "max":
            out[...] = self.xp.where(self.chosen == i, dy, 0)
        else:
            self.xp.multiply(dy, self._slope(i, xs, y), out=out)

    def _slope(self, i: int, xs: Sequence[Tensor], y: Tensor) -> Array | float:
        """Return the derivative of a sum or product y with respect to xs[i]."""
        if self.op.operation == "sum":
            return self.op.coefficients[i]
        if not self.op.stable:
            return y.read() / xs[i].read()
        first, *others = (x.read() for k, x in enumerate(xs) if k != i)
        for other in others:
            first = first * other
        return first

    def _sum(self, xs: list[Array], out: Array) -> None:
        out[...] = 0
        for c, x in zip(self.op.coefficients, xs, strict=True):
            out += x if c == 1 else c * x

    def _prod(self, xs: list[Array], out: Array) -> None:
        out[...] = xs[0]
        for x in xs[1:]:
            out *= x

    def _max(self, xs: list[Array], out: Array) -> None:
        # NaN is chosen.
        first_wins = (xs[0] > xs[1]) | self.xp.isnan(xs[0])
        self.chosen = self.xp.where(first_wins, 0, 1).astype(np.int32)
        out[...] = self.xp.where(first_wins, xs[0], xs[1])
        for i, x in enumerate(xs[2:], 2):
            larger = (x > out) | self.xp.isnan(x)
            self.xp.copyto(out, x, where=larger)
            self.xp.copyto(self.chosen, i, where=larger)
