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


@kernel(SumOfSquares)
class ReferenceSumOfSquares(ReferenceKernel):
    """Sum of squares of one tensor."""

    def forward(self, x: Tensor) -> float:
        """Return the sum."""
        flat = x.read().ravel()
        return float(self.xp.dot(flat.astype(np.float64), flat.astype(np.float64)))
