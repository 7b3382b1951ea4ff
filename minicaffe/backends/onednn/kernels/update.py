"""The solvers' rules, a chunk of a parameter at a time and several chunks at once.

A chunk of weights, gradient and history stays in the cache while the rule's few passes go over it,
so that main memory is read and written once. NumPy lets go of Python's lock inside a pass: chunks
run on threads, and small parameters, one chunk each, are shared out like those of large ones. The
values keep whatever layout the gradient has: updates are elementwise.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from minicaffe.backends.onednn.backend import OneDnnBackend, kernel
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.update import (
    N_SCRATCH,
    ReferenceSumOfSquares,
    ReferenceUpdate,
    is_finite,
)
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.update import StepSize, SumOfSquares, Update

# Measured on an AMD EPYC with 2 cores: smaller chunks spend their time on Python's lock, larger
# ones leave the cache.
CHUNK = 262144
# Handing over less than this costs more than it saves.
LEAST_OF_A_THREAD = 2 * CHUNK


class _Chunk(NamedTuple):
    """A part of one parameter: weights, gradient and history, and the size of its step."""

    arrays: list[Array]
    size: StepSize


@kernel(Update)
class OneDnnUpdate(ReferenceUpdate):
    """One step of all parameters."""

    backend: OneDnnBackend

    def __init__(self, backend: OneDnnBackend, op: Update, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._spares = np.empty((backend.threads, N_SCRATCH, CHUNK), np.float32)
        self._tainted = 0.0

    def step(
        self, parameters: Sequence[Any], size: Callable[[], StepSize], non_finite: Tensor
    ) -> None:
        """Update w, dw and history of all parameters; overwrite non_finite."""
        rate, decay, scale = size()
        chunks: list[_Chunk] = []
        written: list[tuple[OneDnnTensor, Layout]] = []
        for w, dw, history, lr_mult, decay_mult in parameters:
            layout = self._layout(w, dw)
            sizes = StepSize(rate * lr_mult, decay * decay_mult, scale)
            tensors: list[Any] = [w, dw, *history]
            chunks += _chunks([tensor.values(layout) for tensor in tensors], sizes)
            written += [(tensor, layout) for tensor in tensors]
        self._tainted = 0.0
        self._run(chunks)
        non_finite.set(self._tainted)
        for tensor, layout in written:
            tensor.target(layout)
            if tensor.is_pinned:
                tensor.settle()

    def _run(self, chunks: Sequence[_Chunk]) -> None:
        """Share the chunks out to as many threads as they are worth."""
        ends = list(accumulate(chunk.arrays[0].size for chunk in chunks))
        total = ends[-1] if ends else 0
        threads = max(1, min(self.backend.threads, total // LEAST_OF_A_THREAD))
        # A thread does the chunks that end in its share of all values.
        bounds = [bisect_right(ends, total * i // threads) for i in range(threads)] + [len(chunks)]
        update = self._update_sgd if self.op.rule == "sgd" else self._update_any

        def run(thread: int) -> None:
            spares = self._spares[thread]
            for arrays, size in chunks[bounds[thread] : bounds[thread + 1]]:
                if update(size, spares[:, : arrays[0].size], *arrays):
                    self._tainted = math.nan

        self.backend.spread(run, pieces=threads)

    def _layout(self, w: OneDnnTensor, dw: OneDnnTensor) -> Layout:
        """Return the gradient's layout, or the plain one where that cannot serve."""
        # In a packed layout's padding all is zero, and a rule that divides by sqrt(h) + delta would
        # make it not a number without delta.
        divides = self.op.rule not in ("sgd", "nesterov")
        if w.is_pinned or dw.is_pinned or (divides and not self.op.delta):
            return Layout.plain(dw.shape)
        return dw.layout

    def _update_any(self, size: StepSize, spares: Array, w: Array, g: Array, *h: Array) -> bool:
        """Run the reference's formula on one chunk; say whether a weight is not finite then."""
        self.step_one(size, spares, w, g, *h)
        return not is_finite(np, w)

    def _update_sgd(
        self, size: StepSize, spares: Array, w: Array, g: Array, *histories: Array
    ) -> bool:
        """Run the same for plain momentum, in as few passes as possible."""
        (h,), (rate, decay, scale) = histories, size
        h *= self.op.momentum
        g *= rate * scale
        if decay:
            g += self.decay_of(w, rate * decay, spares[0])
        h += g
        np.copyto(g, h)
        w -= h
        return not is_finite(np, w)


def _chunks(arrays: Sequence[Array], size: StepSize) -> list[_Chunk]:
    starts = range(0, arrays[0].size, CHUNK)
    return [_Chunk([array[i : i + CHUNK] for array in arrays], size) for i in starts]


@kernel(SumOfSquares)
class OneDnnSumOfSquares(ReferenceSumOfSquares):
    """Sum of squares in double precision, in whatever layout; padding adds nothing."""

    def forward(self, tensors: Sequence[Any]) -> float:
        """Return the sum."""
        total = 0.0
        for x in tensors:
            values = x.values(x.layout)
            chunks = (values[i : i + CHUNK] for i in range(0, values.size, CHUNK))
            total += float(sum(np.einsum("i,i->", c, c, dtype=np.float64) for c in chunks))
        return total
