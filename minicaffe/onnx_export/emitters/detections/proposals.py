"""Region proposals, by NonMaxSuppression."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.drawn_inputs import ImageSize
from minicaffe.onnx_export.emitters.detections.suppression import (
    SuppressionRule,
    listed,
    or_instead,
    ranked,
    surviving,
)
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.rois.proposal import Proposal


@emitter(Proposal)
class ProposalEmitter(Emitter[Proposal]):
    """All anchors at once; they are one group."""

    def propose(self, scores: Tensor, deltas: Tensor, info: Tensor) -> int:
        """Find proposals and return a number of rows; the true one is known in a run."""
        self.mark_sensitive()
        op, graph = self.op, self.graph
        cells, n = scores.shape[2:], scores.shape[1] // 2 * math.prod(scores.shape[2:])
        graph.expect(self.read(info), ImageSize((cells[0] * op.stride, cells[1] * op.stride)))
        boxes = self._cut(self._decoded(deltas), info)
        objects = graph.slice(self.read(scores, (2, len(op.anchors), *cells)), [1], [2], [0])
        score = graph.reshape(graph.one("Transpose", objects, perm=[0, 2, 3, 1]), [1, n])
        score = self._without_small(boxes, score, info)
        n_ranked = graph.integers([min(op.before, n)])
        best, places = ranked(graph, score, n_ranked)
        self._ranked = graph.one("Gather", boxes, graph.reshape(places, [-1]), axis=0)
        rule = SuppressionRule(op.threshold, limit=op.after, pixel=1)
        group = graph.unsqueeze(self._ranked, [0])
        self._kept = surviving(graph, rule, group, best, n_ranked)
        return graph.free_rows()

    def forward(self, rois: Tensor, roi_scores: Tensor | None) -> None:
        """Overwrite rois and scores, by rank; the whole image if there is none."""
        graph = self.graph
        scores, at = listed(graph, self._kept)
        boxes = or_instead(
            graph,
            graph.one("Gather", self._ranked, at, axis=0),
            graph.joined([graph.reals(np.zeros((1, 2))), self._last], 1),
        )
        # The image in front, 0.
        self.write(rois, graph.one("Pad", boxes, graph.integers([0, 1, 0, 0])), (rois.shape[0], 5))
        if roi_scores is not None:
            zero = graph.reals(np.zeros((1, 1)))
            scores = or_instead(graph, graph.unsqueeze(scores, [1]), zero)
            self.write(roi_scores, scores, (rois.shape[0], 1))

    def _anchors(self, cells: tuple[int, ...]) -> HostArray:
        """Return the anchors of all cells, (B, 4), by row, column and anchor."""
        y, x = np.mgrid[: cells[0], : cells[1]] * self.op.stride
        boxes = np.array(self.op.anchors) + np.stack([x, y, x, y], -1)[:, :, None]
        flat: HostArray = boxes.reshape(-1, 4)
        return flat

    def _decoded(self, deltas: Tensor) -> str:
        """Return the boxes of the deltas, (B, 4), not cut to the image."""
        graph, cells = self.graph, deltas.shape[2:]
        codes = self.read(deltas, (len(self.op.anchors), 4, *cells))
        codes = graph.one("Transpose", codes, perm=[2, 3, 0, 1])
        shift, logarithm = graph.split(graph.reshape(codes, [-1, 4]), [2, 2], 1)
        anchors = self._anchors(cells)
        sizes = anchors[:, 2:] - anchors[:, :2] + 1
        size, center = graph.reals(sizes), graph.reals(anchors[:, :2] + sizes / 2)
        middle = graph.one("Add", center, graph.one("Mul", shift, size))
        half = graph.times(graph.one("Mul", graph.one("Exp", logarithm), size), 0.5)
        return graph.joined([graph.one("Sub", middle, half), graph.one("Add", middle, half)], 1)

    def _cut(self, boxes: str, info: Tensor) -> str:
        """Return the boxes cut to the image, and note its last column and row."""
        graph, values = self.graph, self.read(info, (1, math.prod(info.shape)))
        size = graph.one("Gather", values, graph.integers([1, 0]), axis=1)
        self._last = graph.plus(size, -1)
        lasts = graph.joined([self._last, self._last], 1)
        return graph.one("Min", graph.one("Max", boxes, graph.reals(0)), lasts)

    def _without_small(self, boxes: str, score: str, info: Tensor) -> str:
        """Return the scores (1, B), 0 or -inf for boxes that are too small."""
        op, graph, n = self.op, self.graph, math.prod(info.shape)
        # The scale of columns is the last one.
        values = self.read(info, (1, n))
        scales = graph.one("Gather", values, graph.integers([n - 1, 2]), axis=1)
        first, last = graph.split(boxes, [2, 2], 1)
        size = graph.plus(graph.one("Sub", last, first), 1)
        room = graph.one("Sub", size, graph.times(scales, op.min_size))
        least = graph.reduce("ReduceMin", room, [1])
        is_small = graph.one("Less", least, graph.reals(0))
        return graph.one("Where", is_small, graph.reals(-math.inf if op.drops_small else 0), score)
