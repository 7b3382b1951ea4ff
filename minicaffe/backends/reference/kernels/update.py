"""Update rules of the solvers, and the norm for gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.ops.backend import Array, ArrayModule, Tensor
from minicaffe.ops.update import (
    NonFiniteFlag,
    StepSize,
    SumOfSquares,
    Update,
    UpdateOperands,
    WeightAverage,
)

# Number of scratch arrays of the size of a gradient that each rule needs.
N_SCRATCH = 2


@kernel(Update)
class ReferenceUpdate(ReferenceKernel[Update]):
    """One step of all parameters, one after another."""

    def step(
        self, parameters: Sequence[UpdateOperands], size: Callable[[], StepSize], non_finite: Tensor
    ) -> None:
        """Update w, dw and history of all parameters; overwrite non_finite."""
        rate, decay, scale = size()
        flag = non_finite.write()
        flag[...] = 0
        for w, dw, history, lr_mult, decay_mult in parameters:
            sizes = StepSize(rate * lr_mult, decay * decay_mult, scale)
            g = dw.update()
            scratch = self.xp.empty((N_SCRATCH, *g.shape), g.dtype)
            self.step_one(sizes, scratch, w.update(), g, *(h.update() for h in history))
            if not is_finite(self.xp, w.read().ravel()):
                flag[...] = math.nan

    def step_one(
        self, size: StepSize, scratch: Sequence[Array], w: Array, g: Array, *history: Array
    ) -> None:
        """Update arrays of one shape; `scratch` arrays, of the same shape, are overwritten."""
        if size.scale != 1:
            g *= size.scale
        is_decoupled = self.op.decay_is_decoupled
        if size.decay and not is_decoupled:
            g += self.decay_of(w, size.decay, scratch[0])
        getattr(self, f"_{self.op.rule}")(g, size.rate, *history, *scratch)
        if size.decay and is_decoupled:
            g += self.decay_of(w, size.rate * size.decay, scratch[0])
        w -= g

    def decay_of(self, w: Array, factor: float, scratch: Array) -> Array:
        """Return the decay term of the gradient, written to `scratch`."""
        direction = self.xp.sign(w, out=scratch) if self.op.regularization == "L1" else w
        term: Array = self.xp.multiply(direction, factor, out=scratch)
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

    def _adagrad(self, g: Array, rate: float, h: Array, scratch: Array, _: Array) -> None:
        h += self.xp.multiply(g, g, out=scratch)
        g *= rate
        g /= self._root(h, scratch)

    def _rmsprop(self, g: Array, rate: float, h: Array, scratch: Array, _: Array) -> None:
        self._average_squares(h, g, self.op.decay2, scratch)
        g *= rate
        g /= self._root(h, scratch)

    def _adadelta(
        self, g: Array, rate: float, h: Array, k: Array, scratch: Array, other: Array
    ) -> None:
        self._average_squares(h, g, self.op.momentum, scratch)
        self.xp.add(k, self.op.delta, out=scratch)
        scratch /= self.xp.add(h, self.op.delta, out=other)
        g *= self.xp.sqrt(scratch, out=scratch)
        self._average_squares(k, g, self.op.momentum, scratch)
        g *= rate

    def _adam(self, g: Array, rate: float, h: Array, k: Array, scratch: Array, _: Array) -> None:
        h *= self.op.momentum
        h += self.xp.multiply(g, 1 - self.op.momentum, out=scratch)
        self._average_squares(k, g, self.op.decay2, scratch)
        self.xp.multiply(h, rate, out=g)
        g /= self._root(k, scratch)

    # They differ in the decay only.
    _adamw = _adam

    def _average_squares(self, mean: Array, g: Array, keep: float, scratch: Array) -> None:
        self.xp.multiply(g, g, out=scratch)
        scratch *= 1 - keep
        mean *= keep
        mean += scratch

    def _root(self, squares: Array, scratch: Array) -> Array:
        self.xp.sqrt(squares, out=scratch)
        scratch += self.op.delta
        return scratch


def is_finite(xp: ArrayModule, values: Array) -> bool:
    """Return whether all values of a vector are finite, usually in one fast pass."""
    # The fastest pass of NumPy that raises no warning on overflow; a sum of finite squares may be
    # infinite.
    return math.isfinite(xp.vdot(values, values)) or bool(xp.isfinite(values).all())


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


@kernel(WeightAverage)
class ReferenceWeightAverage(ReferenceKernel[WeightAverage]):
    """Running average of some tensors, one after another."""

    def average(
        self, averages: Sequence[Tensor], weights: Sequence[Tensor], share: Callable[[], float]
    ) -> None:
        """Update the averages."""
        now = share()
        for mean, w in zip(averages, weights, strict=True) if now else ():
            target = mean.update()
            self.average_one(now, target, w.read(), self.xp.empty_like(target))

    def average_one(self, share: float, mean: Array, w: Array, scratch: Array) -> None:
        """Update arrays of one shape; `scratch`, of the same shape, is overwritten."""
        if share == 1:
            self.xp.copyto(mean, w)
            return
        self.xp.subtract(w, mean, out=scratch)
        scratch *= share
        mean += scratch


@kernel(NonFiniteFlag)
class ReferenceNonFiniteFlag(ReferenceKernel[NonFiniteFlag]):
    """Adds the non-finite flag to a loss."""

    def forward(self, non_finite: Tensor, loss: Tensor) -> None:
        """Add non_finite to the loss."""
        loss.update()[...] += non_finite.read()
