"""Optical flow: lengths of vectors, and images moved by it."""

from __future__ import annotations

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.flow.channel_norm import ChannelNorm
from minicaffe.ops.flow.flow_warp import FlowWarp

_INT64 = 7  # a type of ONNX


@emitter(ChannelNorm)
class ChannelNormEmitter(Emitter[ChannelNorm]):
    """ReduceL2."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self.write(y, self.graph.reduce("ReduceL2", self.read(x), [1], keepdims=True))


@emitter(FlowWarp)
class FlowWarpEmitter(Emitter[FlowWarp]):
    """The four pixels around each place, by Gather, times their weights."""

    def forward(self, x: Tensor, flow: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        self.mark_sensitive()
        graph, (_, channels, rows, columns) = self.graph, x.shape
        across, down = graph.split(self.read(flow), [1, 1], 1)
        inside, row_taps = self._taps(down, np.arange(rows).reshape(-1, 1), rows)
        is_inside, column_taps = self._taps(across, np.arange(columns), columns)
        inside = graph.unsqueeze(graph.one("And", inside, is_inside), [3])
        turned = graph.one("Transpose", self.read(x), perm=[0, 2, 3, 1])
        table = graph.reshape(turned, [-1, channels])
        image = graph.one("Mul", graph.samples(turned), graph.integers(rows * columns))
        image = graph.reshape(image, [-1, 1, 1])
        total = ""
        for row, row_weight in row_taps:
            for column, column_weight in column_taps:
                at = graph.one("Add", graph.one("Mul", row, graph.integers(columns)), column)
                found = graph.one("Gather", table, graph.one("Add", at, image), axis=0)
                weight = graph.unsqueeze(graph.one("Mul", row_weight, column_weight), [3])
                part = graph.one("Mul", found, weight)
                total = graph.one("Add", total, part) if total else part
        filled = graph.one("Where", inside, total, graph.reals(self.op.fill))
        self.write(y, graph.one("Transpose", filled, perm=[0, 3, 1, 2]))

    def _taps(self, moves: str, places: HostArray, limit: int) -> tuple[str, list[tuple[str, str]]]:
        """Return what is inside, and pixel and weight of both neighbours along an axis.

        All have the shape (N, H, W). Flow that is not finite is outside.
        """
        graph = self.graph
        wanted = graph.one("Add", graph.squeeze(moves, [1]), graph.reals(places))
        is_before = graph.one("Less", wanted, graph.reals(0))
        is_inside = graph.one("Less", wanted, graph.reals(limit))
        is_inside = graph.one("And", is_inside, graph.one("Not", is_before))
        at = graph.one("Where", is_inside, wanted, graph.reals(0))
        at = graph.one("Min", at, graph.reals(limit - 1))
        low = graph.one("Floor", at)
        high = graph.one("Min", graph.plus(low, 1), graph.reals(limit - 1))
        share = graph.one("Sub", at, low)
        rest = graph.one("Sub", graph.reals(1), share)
        pixels = (graph.one("Cast", value, to=_INT64) for value in (low, high))
        return is_inside, list(zip(pixels, (rest, share), strict=True))
