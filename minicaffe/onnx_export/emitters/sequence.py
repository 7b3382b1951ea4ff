"""Reversal of sequences."""

from __future__ import annotations

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.ops.backend import Tensor
from minicaffe.ops.sequence.reverse_time import ReverseTime


@emitter(ReverseTime)
class ReverseTimeEmitter(Emitter[ReverseTime]):
    """ReverseSequence, which copies what lies behind a sequence."""

    def forward(self, x: Tensor, lengths: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self.require(self.op.copies_rest, "ReverseSequence does not fill with zeros")
        name = self.read(lengths)
        if name in self.graph.inputs:
            self.graph.limits[name] = x.shape[0] + 1
        steps = self.graph.one("Cast", name, to=7)
        reverse = {"time_axis": 0, "batch_axis": 1}
        self.write(y, self.graph.one("ReverseSequence", self.read(x), steps, **reverse))
