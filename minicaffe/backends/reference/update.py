"""The solvers' rules, and the norm that clipping needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.update import SumOfSquares, Update


@kernel(Update)
class ReferenceUpdate(ReferenceKernel):
    """One step of one parameter."""

    def step(
        self,
        w: Tensor,
        dw: Tensor,
        history: Sequence[Tensor],
        rate: float,
        decay: float,
        scale: float,
    ) -> None:
        """Update w, dw and history."""
        weights, g = w.update(), dw.update()
        if scale != 1:
            g *= scale
        if decay:
            g += decay * (self.xp.sign(weights) if self.op.regularization == "L1" else weights)
        rule = getattr(self, f"_{self.op.rule}")
        g[...] = rule(g, rate, *(h.update() for h in history))
        weights -= g

    def _sgd(self, g: Array, rate: float, h: Array) -> Array:
        h *= self.op.momentum
        h += rate * g
        return h

    def _nesterov(self, g: Array, rate: float, h: Array) -> Array:
        before = self.op.momentum * h
        h[...] = before + rate * g
        return (1 + self.op.momentum) * h - before

    def _adagrad(self, g: Array, rate: float, h: Array) -> Array:
        h += g * g
        return rate * g / (self.xp.sqrt(h) + self.op.delta)

    def _rmsprop(self, g: Array, rate: float, h: Array) -> Array:
        self._average(h, g * g, self.op.decay2)
        return rate * g / (self.xp.sqrt(h) + self.op.delta)

    def _adadelta(self, g: Array, rate: float, h: Array, k: Array) -> Array:
        self._average(h, g * g, self.op.momentum)
        u = g * self.xp.sqrt((k + self.op.delta) / (h + self.op.delta))
        self._average(k, u * u, self.op.momentum)
        return rate * u

    def _adam(self, g: Array, rate: float, h: Array, k: Array) -> Array:
        self._average(h, g, self.op.momentum)
        self._average(k, g * g, self.op.decay2)
        return rate * h / (self.xp.sqrt(k) + self.op.delta)

    def _average(self, mean: Array, value: Array, keep: float) -> None:
        mean *= keep
        mean += (1 - keep) * value


@kernel(SumOfSquares)
class ReferenceSumOfSquares(ReferenceKernel):
    """Sum of squares of one tensor."""

    def forward(self, x: Tensor) -> float:
        """Return the sum."""
        flat = x.read().ravel()
        return float(self.xp.dot(flat.astype(np.float64), flat.astype(np.float64)))
