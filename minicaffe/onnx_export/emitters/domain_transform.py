"""Edge-preserving smoothing, by a Scan for each pass."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.drawn_inputs import WholeNumbers
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.ops.backend import Tensor
from minicaffe.ops.segmentation.domain_transform import DomainTransform


@emitter(DomainTransform)
class DomainTransformEmitter(Emitter[DomainTransform]):
    """Four passes a round: along rows and columns, forwards and backwards."""

    def forward(self, x: Tensor, edges: Tensor, sizes: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        op, graph = self.op, self.graph
        ratio = op.spatial_sigma / op.range_sigma
        steepness = graph.plus(graph.times(self.read(edges), ratio), 1)
        inside = self._inside(sizes, edges.shape[2:])
        widest = math.sqrt(3) * op.spatial_sigma / math.sqrt(4**op.n_rounds - 1)
        values = self.read(x)
        for left in reversed(range(op.n_rounds)):
            decay = -math.sqrt(2) / (widest * 2**left)
            weights = graph.one("Exp", graph.times(steepness, decay))
            weights = graph.one("Max", weights, graph.reals(op.min_weight))
            weights = graph.one("Where", inside, weights, graph.reals(0))
            for axis in (3, 2):
                # The weight of a pixel and the one before it; none is before the first.
                between = graph.slice(weights, [1], [x.shape[axis]], [axis])
                for is_backwards in (0, 1):
                    pads = np.zeros((2, 4), np.int64)
                    pads[is_backwards, axis] = 1
                    shares = graph.one("Pad", between, graph.integers(pads.ravel()))
                    values = self._smoothed(values, shares, axis, is_backwards)
        self.write(y, values)

    def _inside(self, sizes: Tensor, image: tuple[int, ...]) -> str:
        """Return which pixels are smoothed, (N, 1, H, W)."""
        graph = self.graph
        graph.expect(self.read(sizes), WholeNumbers(min(image) + 1))
        limits = graph.split(self.read(sizes, (sizes.shape[0], 2)), [1, 1], 1)
        rows, columns = (graph.unsqueeze(limit, [2, 3]) for limit in limits)
        row, column = (graph.reals(np.arange(n)) for n in image)
        return graph.one(
            "And",
            graph.one("Less", graph.unsqueeze(row, [1]), rows),
            graph.one("Less", column, columns),
        )

    def _smoothed(self, values: str, shares: str, axis: int, is_backwards: int) -> str:
        """Return values after one pass along an axis."""
        graph = self.graph
        first = graph.one("Gather", values, graph.integers(0), axis=axis)
        _, results = graph.add(
            "Scan",
            *(first, values, shares),
            n=2,
            body=_step(graph),
            num_scan_inputs=2,
            scan_input_axes=[axis, axis],
            scan_input_directions=[is_backwards] * 2,
            scan_output_axes=[axis],
            scan_output_directions=[is_backwards],
        )
        return results


def _step(graph: OnnxGraph) -> OnnxGraph:
    """Return what is done for one column: before, x, share -> new, new; the first has share 0."""
    body = OnnxGraph(graph.opset, layer=f"{graph.layer}/line", taken=graph.taken)
    before, x, share = (body.unique(f"{body.layer}/{name}") for name in ("before", "x", "share"))
    for name in (before, x, share):
        body.inputs[name] = ()
    change = body.one("Mul", share, body.one("Sub", before, x))
    for _ in range(2):
        body.outputs[body.one("Add", x, change)] = ()
    return body
