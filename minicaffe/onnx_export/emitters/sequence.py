"""Reversal and greedy decoding of sequences."""

from __future__ import annotations

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.drawn_inputs import WholeNumbers
from minicaffe.ops.backend import Tensor
from minicaffe.ops.sequence.ctc_decode import CtcDecode
from minicaffe.ops.sequence.reverse_time import ReverseTime

_INT64, _FLOAT = 7, 1  # types of ONNX


@emitter(ReverseTime)
class ReverseTimeEmitter(Emitter[ReverseTime]):
    """ReverseSequence, which copies what lies behind a sequence."""

    def forward(self, x: Tensor, lengths: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        graph, name = self.graph, self.read(lengths)
        graph.expect(name, WholeNumbers(x.shape[0] + 1))
        steps = graph.one("Cast", name, to=_INT64)
        turned = graph.one("ReverseSequence", self.read(x), steps, time_axis=0, batch_axis=1)
        if not self.op.copies_rest:
            step = graph.integers(np.arange(x.shape[0]).reshape(-1, 1))
            is_inside = graph.one("Less", step, steps)
            axes = list(range(2, len(x.shape)))
            is_inside = graph.unsqueeze(is_inside, axes) if axes else is_inside
            turned = graph.one("Where", is_inside, turned, graph.reals(0))
        self.write(y, turned)


@emitter(CtcDecode)
class CtcDecodeEmitter(Emitter[CtcDecode]):
    """ArgMax; the steps that are kept go first, by TopK of their numbers."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self.mark_sensitive()
        op, graph = self.op, self.graph
        n_steps = x.shape[1 if op.samples_first else 0]
        best = graph.one("ArgMax", self.read(x), axis=2, keepdims=0)
        if not op.samples_first:
            best = graph.one("Transpose", best, perm=[1, 0])
        is_dropped = graph.one("Equal", best, graph.integers(op.blank))
        if op.merges_repeated and n_steps > 1:
            is_repeated = graph.one(
                "Equal",
                graph.slice(best, [1], [n_steps], [1]),
                graph.slice(best, [0], [n_steps - 1], [1]),
            )
            # No step is before the first one: it differs from everything.
            number = graph.one("Cast", is_repeated, to=_FLOAT)
            padded = graph.one("Pad", number, graph.integers([0, 1, 0, 0]))
            is_repeated = graph.one("Greater", padded, graph.reals(0))
            is_dropped = graph.one("Or", is_dropped, is_repeated)
        steps = graph.reals(np.arange(n_steps))
        rank = graph.one("Where", is_dropped, graph.plus(steps, n_steps), steps)
        _, order = graph.add(
            "TopK", rank, graph.integers([n_steps]), n=2, axis=1, largest=0, sorted=1
        )
        label = graph.one("Where", is_dropped, graph.integers(-1), best)
        found = graph.one("GatherElements", label, order, axis=1)
        self.write(
            y, graph.one("Cast", found, to=_FLOAT), (x.shape[0 if op.samples_first else 1], n_steps)
        )
