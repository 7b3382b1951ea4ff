"""The solvers' rules, a chunk of the parameter at a time and several chunks at once.

A chunk of weights, gradient and history stays in the cache while the rule's few passes go over it,
so that main memory is read and written once. NumPy lets go of Python's lock inside a pass: chunks
run on threads. The values keep whatever layout the gradient has: updates are elementwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from minicaffe.backends.onednn.backend import OneDnnBackend, kernel
from minicaffe.backends.onednn.memory import Layout
from minicaffe.backends.onednn.tensor import OneDnnTensor
from minicaffe.backends.reference.update import ReferenceSumOfSquares, ReferenceUpdate
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.update import SumOfSquares, Update

# Measured on an AMD EPYC with 2 cores: smaller chunks spend their time on Python's lock, larger
# ones leave the cache.
CHUNK = 131072

# Learning rate, weight decay, and what the gradient is multiplied with first.
Rates: TypeAlias = tuple[float, float, float]


@kernel(Update)
class OneDnnUpdate(ReferenceUpdate):
    """One step of one parameter."""

    backend: OneDnnBackend

    def __init__(self, backend: OneDnnBackend, op: Update, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        # One for each thread would do; one for each chunk in flight needs no bookkeeping.
        self._spare = [np.empty(CHUNK, np.float32) for _ in range(backend.threads)]

    def step(
        self,
        w: Any,
        dw: Any,
        history: Sequence[Any],
        rate: float,
        decay: float,
        scale: float,
    ) -> None:
        """Update w, dw and history."""
        layout = self._layout(w, dw)
        tensors = (w, dw, *history)
        arrays = [tensor.values(layout) for tensor in tensors]
        update = self._update_sgd if self.op.rule == "sgd" else self._update_any

        def run(thread: int) -> None:
            spare = self._spare[thread]
            step = CHUNK * self.backend.threads
            for start in range(thread * CHUNK, arrays[0].size, step):
                part = [array[start : start + CHUNK] for array in arrays]
                update((rate, decay, scale), spare[: part[0].size], *part)

        self.backend.spread(run, pieces=-(-arrays[0].size // CHUNK))
        for tensor in tensors:
            tensor.target(layout)
            if tensor.is_pinned:
                tensor.settle()

    def _layout(self, w: OneDnnTensor, dw: OneDnnTensor) -> Layout:
        """Return the gradient's layout, or the plain one where that cannot serve."""
        # In a packed layout's padding all is zero, and a rule that divides by sqrt(h) + delta would
        # make it not a number without delta.
        divides = self.op.rule not in ("sgd", "nesterov")
        if w.is_pinned or dw.is_pinned or (divides and not self.op.delta):
            return Layout.plain(dw.shape)
        return dw.layout

    def _update_any(self, rates: Rates, spare: Array, w: Array, g: Array, *h: Array) -> None:
        """Run the reference's formula on one chunk."""
        rate, decay, scale = rates
        if scale != 1:
            g *= scale
        if decay:
            np.sign(w, out=spare) if self.op.regularization == "L1" else np.copyto(spare, w)
            spare *= decay
            g += spare
        g[...] = getattr(self, f"_{self.op.rule}")(g, rate, *h)
        w -= g

    def _update_sgd(
        self, rates: Rates, spare: Array, w: Array, g: Array, *histories: Array
    ) -> None:
        """Run the same for plain momentum, in as few passes as possible."""
        (h,), (rate, decay, scale) = histories, rates
        h *= self.op.momentum
        g *= rate * scale
        if decay:
            np.sign(w, out=spare) if self.op.regularization == "L1" else np.copyto(spare, w)
            spare *= rate * decay
            g += spare
        h += g
        np.copyto(g, h)
        w -= h


@kernel(SumOfSquares)
class OneDnnSumOfSquares(ReferenceSumOfSquares):
    """Sum of squares in double precision, in whatever layout; padding adds nothing."""

    def forward(self, x: Any) -> float:
        """Return the sum."""
        values = x.values(x.layout)
        chunks = (values[i : i + CHUNK] for i in range(0, values.size, CHUNK))
        return float(sum(np.einsum("i,i->", c, c, dtype=np.float64) for c in chunks))
