"""Parameter updates by the solvers' rules, on all threads.

A C kernel updates all parameters in one pass. Where it was not compiled, NumPy computes in chunks:
a chunk of weights, gradient and history stays in the cache during the rule's few passes, so that
main memory is read and written once. NumPy releases the interpreter lock in a pass, so chunks run
in parallel; a small parameter is one chunk. Updates are elementwise, so the values stay in the
gradient's layout.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, chain
from typing import Any, NamedTuple

import numpy as np

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, kernel
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.native import ThreadedFunction
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.reference.kernels.update import (
    N_SCRATCH,
    ReferenceSumOfSquares,
    ReferenceUpdate,
    ReferenceWeightAverage,
    is_finite,
)
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.update import StepSize, SumOfSquares, Update, WeightAverage

# Values. Measured on an AMD EPYC with 2 cores: smaller chunks spend their time waiting for the
# interpreter lock, larger ones leave the cache.
CHUNK = 262144
# Values: waking a thread for less costs more than it saves.
MIN_VALUES_PER_THREAD = 2 * CHUNK
# Values from which a gradient that equals the history is not written, because Python needs as long
# to note that as memory takes to write so many.
MIN_DEFERRED = 1 << 15
# In the order of update.c.
RULES = ("sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam", "adamw")


class _Chunk(NamedTuple):
    """A chunk of one parameter: weights, gradient and history, and its step size."""

    arrays: list[Array]
    size: StepSize


@kernel(Update)
class OneDnnUpdate(ReferenceUpdate):
    """Update of all parameters."""

    backend: OneDnnBackend

    def __init__(self, backend: OneDnnBackend, op: Update, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._scratch = np.empty((backend.threads, N_SCRATCH, CHUNK), np.float32)
        self._non_finite = np.zeros(1, np.float32)
        self._native = backend.native
        self._threaded = cache_method(self._plan_threads)

    def step(
        self,
        parameters: Sequence[Any],  # Any: tensors of this backend
        size: Callable[[], StepSize],
        non_finite: Tensor,
    ) -> None:
        """Update w, dw and history of all parameters; overwrite non_finite."""
        rate, decay, scale = size()
        self._non_finite[0] = 0
        sizes = [(rate * p[-2], decay * p[-1]) for p in parameters]
        tensors = [(p[0], p[1], *p[2]) for p in parameters]
        if self._native is not None:
            self._run_native(self._native, tensors, sizes, scale)
        else:
            chunks: list[_Chunk] = []
            for (w, dw, *history), numbers in zip(tensors, sizes, strict=True):
                layout = self._layout(w, dw)
                arrays = [tensor.values_to_update(layout) for tensor in (w, dw, *history)]
                chunks += _chunks(arrays, StepSize(*numbers, scale))
            self._run(chunks)
        non_finite.set(self._non_finite[0])
        for tensor in chain.from_iterable(tensors):
            if tensor.is_pinned:
                tensor.write_back()

    def _run_native(
        self,
        native: NativeLibrary,
        parameters: Sequence[Sequence[OneDnnTensor]],
        sizes: Sequence[tuple[float, float]],
        scale: float,
    ) -> None:
        table = np.zeros((len(parameters), 6), np.int64)
        for record, (w, dw, *history) in zip(table, parameters, strict=True):
            layout = self._layout(w, dw)
            n = layout.size_bytes // FLOAT_BYTES
            # The step is the new history, which dw may refer to instead of a copy.
            can_defer = not any(t.is_pinned or t.shares_memory for t in (dw, *history))
            defers = self.op.rule == "sgd" and n >= MIN_DEFERRED and can_defer
            addresses = [t.address_to_update(layout) for t in (w, dw, *history)]
            record[: len(addresses)] = addresses
            record[4:] = n, not defers
            if defers:
                dw.defer(history)
        op, numbers = self.op, np.array(sizes, np.float32)
        total = int(table[:, 4].sum())
        size_bytes = total * (len(parameters[0]) + 2) * FLOAT_BYTES if parameters else 0
        self._threaded(native, size_bytes)(
            *(RULES.index(op.rule), op.regularization == "L1"),
            *(table.ctypes.data, numbers.ctypes.data, len(parameters)),
            *(scale, op.momentum, op.decay2, op.delta, self._non_finite.ctypes.data),
        )

    def _plan_threads(self, native: NativeLibrary, size_bytes: int) -> ThreadedFunction:
        function = native.lookup("update_parameters")
        return ThreadedFunction(self.backend.engine, function, size_bytes=size_bytes)

    def _run(self, chunks: Sequence[_Chunk]) -> None:
        update = self._update_sgd if self.op.rule == "sgd" else self._update_any

        def run(thread: int, part: slice) -> None:
            scratch = self._scratch[thread]
            for arrays, size in chunks[part]:
                if update(size, scratch[:, : arrays[0].size], *arrays):
                    self._non_finite[0] = math.nan

        _spread(self.backend, [chunk.arrays[0].size for chunk in chunks], run)

    def _layout(self, w: OneDnnTensor, dw: OneDnnTensor) -> Layout:
        """Return the gradient's layout, or the plain one if the rule cannot use that."""
        # The padding of a packed layout is zero; a rule that divides by sqrt(h) + delta would make
        # it NaN if delta is 0.
        divides = self.op.rule not in ("sgd", "nesterov")
        if w.is_pinned or dw.is_pinned or (divides and not self.op.delta):
            return Layout.plain(dw.shape)
        return dw.flat_layout

    def _update_any(self, size: StepSize, scratch: Array, w: Array, g: Array, *h: Array) -> bool:
        """Apply the reference's formula to a chunk; return whether a weight is not finite then."""
        self.step_one(size, scratch, w, g, *h)
        return not is_finite(np, w)

    def _update_sgd(
        self, size: StepSize, scratch: Array, w: Array, g: Array, *histories: Array
    ) -> bool:
        """Apply the rule "sgd" in fewer passes than the reference's; return as `_update_any`."""
        (h,), (rate, decay, scale) = histories, size
        h *= self.op.momentum
        g *= rate * scale
        if decay:
            g += self.decay_of(w, rate * decay, scratch[0])
        h += g
        np.copyto(g, h)
        w -= h
        return not is_finite(np, w)


def _chunks(arrays: Sequence[Array], size: StepSize) -> list[_Chunk]:
    starts = range(0, arrays[0].size, CHUNK)
    return [_Chunk([array[i : i + CHUNK] for array in arrays], size) for i in starts]


def _spread(
    backend: OneDnnBackend, sizes: Sequence[int], run: Callable[[int, slice], None]
) -> None:
    """Divide chunks of these sizes among the threads, or among fewer if they are few.

    `run` gets the number of a thread and the slice of its chunks.
    """
    ends = list(accumulate(sizes))
    total = ends[-1] if ends else 0
    threads = max(1, min(backend.threads, total // MIN_VALUES_PER_THREAD))
    # A thread gets the chunks that end within its share of all values.
    bounds = [bisect_right(ends, total * i // threads) for i in range(threads)] + [len(sizes)]
    backend.spread(lambda thread: run(thread, slice(*bounds[thread : thread + 2])), threads)


@kernel(WeightAverage)
class OneDnnWeightAverage(ReferenceWeightAverage):
    """Running average of some tensors, in the layouts of the weights."""

    backend: OneDnnBackend

    def __init__(self, backend: OneDnnBackend, op: WeightAverage, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._scratch = np.empty((backend.threads, CHUNK), np.float32)

    def average(
        self,
        averages: Sequence[Any],  # Any: tensors of this backend
        weights: Sequence[Any],
        share: Callable[[], float],
    ) -> None:
        """Update the averages."""
        now = share()
        pairs: list[tuple[Array, Array]] = []
        for mean, w in zip(averages, weights, strict=True) if now else ():
            layout = w.flat_layout
            arrays = mean.values_to_update(layout), w.values(layout)
            starts = range(0, arrays[0].size, CHUNK)
            pairs += [(arrays[0][i : i + CHUNK], arrays[1][i : i + CHUNK]) for i in starts]

        def run(thread: int, part: slice) -> None:
            for target, values in pairs[part]:
                scratch = self._scratch[thread, : target.size]
                self.average_one(now, target, values, scratch)

        _spread(self.backend, [target.size for target, _ in pairs], run)


@kernel(SumOfSquares)
class OneDnnSumOfSquares(ReferenceSumOfSquares):
    """Sum of squares in double precision, in the tensors' layouts; padding adds zero."""

    def forward(self, tensors: Sequence[Any]) -> float:  # Any: tensors of this backend
        """Return the sum."""
        total = 0.0
        for x in tensors:
            values = x.values(x.flat_layout)
            chunks = (values[i : i + CHUNK] for i in range(0, values.size, CHUNK))
            total += float(sum(np.einsum("i,i->", c, c, dtype=np.float64) for c in chunks))
        return total
