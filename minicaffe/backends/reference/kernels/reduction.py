"""Reductions: each is a term and its derivative, summed over the rows of a matrix."""

from __future__ import annotations

import math
from collections.abc import Callable

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.activation import sign
from minicaffe.ops.backend import Array, ArrayModule, Tensor
from minicaffe.ops.reduction import Reduction

Term = Callable[[ArrayModule, Array], Array]

TERMS: dict[str, tuple[Term, Term]] = {
    "sum": (lambda xp, x: x, lambda xp, x: xp.ones_like(x)),
    "asum": (lambda xp, x: xp.abs(x), sign),
    "sumsq": (lambda xp, x: x * x, lambda xp, x: 2 * x),
    "mean": (lambda xp, x: x, lambda xp, x: xp.ones_like(x)),
}


@kernel(Reduction)
class ReferenceReduction(ReferenceKernel[Reduction]):
    """Reduce, and broadcast the gradient."""

    def __init__(self, backend: ReferenceBackend, op: Reduction, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        shape = tensors[0].shape
        self.axes = tuple(range(op.axis, len(shape)))
        n = math.prod(shape[op.axis :])
        self.coefficient = op.coefficient / max(n, 1) if op.operation == "mean" else op.coefficient
        self.term, self.slope = TERMS[op.operation]

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        y.write()[...] = self.coefficient * self.term(self.xp, x.read()).sum(self.axes)

    def backward(self, x: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        given = self.coefficient * self.xp.expand_dims(dy.read(), self.axes)
        self.xp.multiply(self.slope(self.xp, x.read()), given, out=dx.write())
