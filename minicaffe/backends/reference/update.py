"""The solvers' rules, and the norm that clipping needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.update import Parameter, StepSize, SumOfSquares, Taint, Update


@kernel(Update)
class ReferenceUpdate(ReferenceKernel):
    """One step of all parameters, one after another."""

    def step(
        self, parameters: Sequence[Parameter], size: Callable[[], StepSize], taint: Tensor
    ) -> None:
        """Update w, dw and history of all parameters; overwrite taint."""
        rate, decay, scale = size()
        tainted = taint.write()
        tainted[...] = 0
        for w, dw, history, lr_mult, decay_mult in parameters:
            sizes = StepSize(rate * lr_mult, decay * decay_mult, scale)
            self._step(w.update(), dw.update(), [h.update() for h in history], sizes)
            if not is_finite(self.xp, w.read().ravel()):
                tainted[...] = math.nan

    def _step(self, w: Array, g: Array, history: Sequence[Array], size: StepSize) -> None:
        if size.scale != 1:
            g *= size.scale
        if size.decay:
            g += size.decay * (self.xp.sign(w) if self.op.regularization == "L1" else w)
        g[...] = getattr(self, f"_{self.op.rule}")(g, size.rate, *history)
        w -= g

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


def is_finite(xp: Any, values: Array) -> bool:
    """Return whether all of a vector's values are finite, mostly in one quick pass."""
    # Of all sums this one does not warn; finite values may have an infinite one.
    total = xp.einsum("i->", values)
    return bool(xp.isfinite(total) or xp.isfinite(values).all())


@kernel(SumOfSquares)
class ReferenceSumOfSquares(ReferenceKernel):
    """Sum of squares of some tensors."""

    def forward(self, tensors: Sequence[Tensor]) -> float:
        """Return the sum."""
        total = 0.0
        for x in tensors:
            flat = x.read().ravel().astype(np.float64)
            total += float(self.xp.dot(flat, flat))
        return total


@kernel(Taint)
class ReferenceTaint(ReferenceKernel):
    """A sum with one number."""

    def forward(self, taint: Tensor, loss: Tensor) -> None:
        """Add taint to the loss."""
        loss.update()[...] += taint.read()
