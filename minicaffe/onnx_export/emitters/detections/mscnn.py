"""Boxes of MS-CNN's proposal net, by NonMaxSuppression, and those of its second stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.emitters.detections.greedy_scan import (
    MOST_PAIRS,
    GreedyRule,
    Measure,
    greedily_kept,
)
from minicaffe.onnx_export.emitters.detections.suppression import (
    SuppressionRule,
    below,
    best_of,
    columns,
    listed,
    or_instead,
    ranked,
    surviving,
)
from minicaffe.ops.backend import Tensor
from minicaffe.ops.mscnn.box_output import BoxOutput
from minicaffe.ops.mscnn.fields import Field
from minicaffe.ops.mscnn.region_boxes import DecodeBoxes

# What the tops hold if nothing is found: image and corners, then zeros.
_NOTHING = ([[0.0, 1, 1, 10, 10]], [[0.0] * 6])


@emitter(BoxOutput)
class BoxOutputEmitter(Emitter[BoxOutput]):
    """All maps at once; the candidates of an image are one group."""

    def detect(self, xs: Sequence[Tensor]) -> int:
        """Find boxes and return a number of rows; the true one is known in a run."""
        self.mark_sensitive()
        op, graph = self.op, self.graph
        maps = [self._map(x, field) for x, field in zip(xs, op.fields, strict=True)]
        boxes, scores = (graph.joined(parts, 1) for parts in zip(*maps, strict=True))
        n = sum(math.prod(x.shape[2:]) for x in xs)
        self._n = min(op.before or n, n)
        best, places = ranked(graph, scores, graph.integers([self._n]))
        first = graph.one("Mul", graph.samples(scores), graph.integers(n))
        in_table = graph.one("Add", places, graph.reshape(first, [-1, 1]))
        self._groups = graph.one("Gather", graph.reshape(boxes, [-1, 4]), in_table, axis=0)
        self._kept = self._surviving(best, xs[0].shape[0])
        return graph.free_rows()

    def forward(self, boxes: Tensor, scored: Tensor | None) -> None:
        """Overwrite boxes and scored, by image and rank."""
        graph = self.graph
        scores, at = listed(graph, self._kept)
        image = columns(graph, graph.one("Div", at, graph.integers(self._n)))
        found = graph.one("Gather", graph.reshape(self._groups, [-1, 4]), at, axis=0)
        rows = graph.joined([image, found], 1)
        n = boxes.shape[0]
        self.write(boxes, or_instead(graph, rows, graph.reals(_NOTHING[0])), (n, 5))
        if scored is not None:
            rows = graph.joined([rows, columns(graph, scores)], 1)
            self.write(scored, or_instead(graph, rows, graph.reals(_NOTHING[1])), (n, 6))

    def _map(self, x: Tensor, field: Field) -> tuple[str, str]:
        """Return boxes (N, H W, 4) and scores (N, H W) of a map; -inf for those of small boxes."""
        op, graph, (n, channels, rows, columns_) = self.op, self.graph, x.shape
        values = graph.one("Transpose", self.read(x), perm=[0, 2, 3, 1])
        values = graph.reshape(values, [n, rows * columns_, channels])
        background, classes, codes = graph.split(values, [1, channels - 5, 4], 2)
        best = graph.reduce("ReduceMax", classes, [2], keepdims=True)
        score = graph.squeeze(graph.one("Sub", best, background), [2])
        first, last = self._decoded(codes, field, (rows, columns_))
        room = graph.plus(graph.one("Sub", last, first), -op.least_size)
        is_small = graph.one("Less", graph.reduce("ReduceMin", room, [2]), graph.reals(0))
        score = graph.one("Where", is_small, graph.reals(-math.inf), score)
        return graph.joined([first, last], 2), score

    def _decoded(self, codes: str, field: Field, cells: tuple[int, int]) -> tuple[str, str]:
        """Return the corners of the boxes of codes (N, H W, 4), cut to the image."""
        op, graph = self.op, self.graph
        scaled = graph.one("Mul", codes, graph.reals(op.deviations))
        offsets = graph.one("Add", scaled, graph.reals(op.means))
        limit = np.array([1 / field.xy_limit] * 2 + [np.log(field.size_limit)] * 2)
        offsets = graph.one("Max", offsets, graph.reals(-limit))
        shift, logarithm = graph.split(graph.one("Min", offsets, graph.reals(limit)), [2, 2], 2)
        row, column = np.indices(cells)
        centers = (np.stack([column, row], -1).reshape(1, -1, 2) + 0.5) * field.step
        size = graph.reals([field.width, field.height])
        center = graph.one("Add", graph.reals(centers), graph.one("Mul", shift, size))
        half = graph.times(graph.one("Mul", graph.one("Exp", logarithm), size), 0.5)
        first = graph.one("Max", graph.one("Sub", center, half), graph.reals(0))
        # A box that is cut at 0 keeps its size.
        last = graph.one("Add", first, graph.times(half, 2))
        ends = graph.reals([cells[1] * field.step, cells[0] * field.step])
        return first, graph.one("Min", last, ends)

    def _surviving(self, scores: str, n_images: int) -> str:
        """Return the scores of the boxes of each image, -inf if they are not kept."""
        op, graph, least = self.op, self.graph, below(self.op.least_score)
        if op.cover == "IOU":
            rule = SuppressionRule(op.threshold, least=least, limit=op.after or None)
            return surviving(graph, rule, self._groups, scores, graph.integers([self._n]))
        self.require(
            n_images * self._n**2 <= MOST_PAIRS,
            f'with nms_type "{op.cover}", {self._n} boxes are too many to compare all pairs; set '
            "a smaller max_nms_num",
        )
        greedy = GreedyRule(op.threshold, cast(Measure, op.cover), least=least)
        kept = greedily_kept(graph, greedy, self._groups, scores, self._n)
        return best_of(graph, kept, graph.integers([op.after])) if 0 < op.after < self._n else kept


@emitter(DecodeBoxes)
class DecodeBoxesEmitter(Emitter[DecodeBoxes]):
    """A few nodes on all boxes."""

    def decode(self, codes: Tensor, rois: Tensor, matches: Tensor | None) -> int:
        """Decode and return the number of boxes."""
        op, graph, n = self.op, self.graph, rois.shape[0]
        self.require(not op.drops, "it leaves boxes out in the TRAIN phase")
        image, first, last = graph.split(self.read(rois, (n, 5)), [1, 2, 2], 1)
        _, own = graph.split(self.read(codes, (n, 8)), [4, 4], 1)
        scaled = graph.one("Mul", own, graph.reals(op.deviations))
        shift, logarithm = graph.split(graph.one("Add", scaled, graph.reals(op.means)), [2, 2], 1)
        size = graph.plus(graph.one("Sub", last, first), 1)
        center = graph.one("Add", first, graph.times(size, 0.5))
        center = graph.one("Add", center, graph.one("Mul", shift, size))
        half = graph.times(graph.one("Mul", graph.one("Exp", logarithm), size), 0.5)
        end = graph.plus(graph.one("Add", center, half), -1)
        self._boxes = graph.joined([image, graph.one("Sub", center, half), end], 1)
        return n

    def forward(self, boxes: Tensor) -> None:
        """Overwrite boxes."""
        self.write(boxes, self._boxes, (boxes.shape[0], 5))
