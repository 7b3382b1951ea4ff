"""The solvers' rules, and the norm that clipping needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.update import NonFiniteFlag, Parameter, StepSize, SumOfSquares, Update

# Arrays of a gradient's size that the rules need besides.
N_SPARES = 2


@kernel(Update)
class ReferenceUpdate(ReferenceKernel[Update]):
    """One step of all parameters, one after another."""

    def step(
        self, parameters: Sequence[Parameter], size: Callable[[], StepSize], non_finite: Tensor
    ) -> None:
        """Update w, dw and history of all parameters; overwrite non_finite."""
        rate, decay, scale = size()
        tainted = non_finite.write()
        tainted[...] = 0
        for w, dw, history, lr_mult, decay_mult in parameters:
            sizes = StepSize(rate * lr_mult, decay * decay_mult, scale)
            g = dw.update()
            spares = self.xp.empty((N_SPARES, *g.shape), g.dtype)
            self.step_one(sizes, spares, w.update(), g, *(h.update() for h in history))
            if not is_finite(self.xp, w.read().ravel()):
                tainted[...] = math.nan

    def step_one(
        self, size: StepSize, spares: Sequence[Array], w: Array, g: Array, *history: Array
    ) -> None:
        """Update arrays of one shape; spares, of this shape too, are lost."""
        if size.scale != 1:
            g *= size.scale
        if size.decay:
            g += self.decay_of(w, size.decay, spares[0])
        getattr(self, f"_{self.op.rule}")(g, size.rate, *history, *spares)
        w -= g

    def decay_of(self, w: Array, factor: float, spare: Array) -> Array:
        """Return the term that decay adds to the gradient, in `spare`."""
        towards = self.xp.sign(w, out=spare) if self.op.regularization == "L1" else w
        term: Array = self.xp.multiply(towards, factor, out=spare)
        return term

    def _sgd(self, g: Array, rate: float, h: Array, *_: Array) -> None:
        g *= rate
        h *= self.op.momentum
        h += g
        self.xp.copyto(g, h)

    def _nesterov(self, g: Array, rate: float, h: Array, before: Array, _: Array) -> None:
        g *= rate
        self.xp.multiply(h, self.op.momentum, out=before)
        self.xp.add(before, g, out=h)
        self.xp.multiply(h, 1 + self.op.momentum, out=g)
        g -= before

    def _adagrad(self, g: Array, rate: float, h: Array, spare: Array, _: Array) -> None:
        h += self.xp.multiply(g, g, out=spare)
        g *= rate
        g /= self._root(h, spare)

    def _rmsprop(self, g: Array, rate: float, h: Array, spare: Array, _: Array) -> None:
        self._average_squares(h, g, self.op.decay2, spare)
        g *= rate
        g /= self._root(h, spare)

    def _adadelta(
        self, g: Array, rate: float, h: Array, k: Array, spare: Array, other: Array
    ) -> None:
        self._average_squares(h, g, self.op.momentum, spare)
        self.xp.add(k, self.op.delta, out=spare)
        spare /= self.xp.add(h, self.op.delta, out=other)
        g *= self.xp.sqrt(spare, out=spare)
        self._average_squares(k, g, self.op.momentum, spare)
        g *= rate

    def _adam(self, g: Array, rate: float, h: Array, k: Array, spare: Array, _: Array) -> None:
        h *= self.op.momentum
        h += self.xp.multiply(g, 1 - self.op.momentum, out=spare)
        self._average_squares(k, g, self.op.decay2, spare)
        self.xp.multiply(h, rate, out=g)
        g /= self._root(k, spare)

    def _average_squares(self, mean: Array, g: Array, keep: float, spare: Array) -> None:
        self.xp.multiply(g, g, out=spare)
        spare *= 1 - keep
        mean *= keep
        mean += spare

    def _root(self, squares: Array, spare: Array) -> Array:
        self.xp.sqrt(squares, out=spare)
        spare += self.op.delta
        return spare


def is_finite(xp: Any, values: Array) -> bool:
    """Return whether all of a vector's values are finite, mostly in one quick pass."""
    # Of all sums this one does not warn; finite values may have an infinite one.
    total = xp.einsum("i->", values)
    return bool(xp.isfinite(total) or xp.isfinite(values).all())


@kernel(SumOfSquares)
class ReferenceSumOfSquares(ReferenceKernel[SumOfSquares]):
    """Sum of squares of some tensors."""

    def forward(self, tensors: Sequence[Tensor]) -> float:
        """Return the sum."""
        total = 0.0
        for x in tensors:
            flat = x.read().ravel().astype(np.float64)
            total += float(self.xp.dot(flat, flat))
        return total


@kernel(NonFiniteFlag)
class ReferenceNonFiniteFlag(ReferenceKernel[NonFiniteFlag]):
    """A sum with one number."""

    def forward(self, non_finite: Tensor, loss: Tensor) -> None:
        """Add non_finite to the loss."""
        loss.update()[...] += non_finite.read()
