"""Detections of YOLO v2 and v3, by NonMaxSuppression."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.emitters.detections.suppression import (
    SuppressionRule,
    below,
    columns,
    listed,
    no_detections,
    or_instead,
    ranked,
    surviving,
)
from minicaffe.ops.backend import Tensor
from minicaffe.ops.detection.boxes import LARGEST_EXPONENT
from minicaffe.ops.yolo.region_loss import Anchors
from minicaffe.ops.yolo.yolo_output import YoloOutput, Yolov3Output


@emitter(YoloOutput)
class YoloOutputEmitter(Emitter[YoloOutput]):
    """All maps at once; the candidates of an image are one group."""

    def detect(self, xs: Sequence[Tensor]) -> int:
        """Find detections and return a number of rows; the true one is known in a run."""
        self.mark_sensitive()
        graph, maps = self.graph, list(zip(xs, self.op.anchors, strict=True))
        decoded = [self._decoded(x, anchors) for x, anchors in maps]
        boxes, scores = (graph.joined(parts, 1) for parts in zip(*decoded, strict=True))
        self._n_boxes = sum(math.prod(x.shape[2:]) * len(anchors) for x, anchors in maps)
        candidates, self._n = self._candidates(scores, xs[0].shape[0])
        best, places = ranked(graph, candidates, graph.integers([self._n]))
        self._images, self._table = graph.samples(scores), graph.reshape(boxes, [-1, 4])
        first = graph.one("Mul", self._images, graph.integers(self._n_boxes))
        self._in_table = graph.one("Add", self._box_of(places), graph.reshape(first, [-1, 1]))
        self._places = places
        groups = graph.one("Gather", self._table, self._in_table, axis=0)
        rule = SuppressionRule(self.op.nms_threshold, at_threshold=True, least=self._least())
        self._kept = surviving(graph, rule, groups, best, graph.integers([self._n]))
        return graph.free_rows()

    def forward(self, y: Tensor) -> None:
        """Overwrite y, by image and rank."""
        graph = self.graph
        scores, at = listed(graph, self._kept)
        image = graph.one("Div", at, graph.integers(self._n))
        place, in_table = (
            graph.one("Gather", graph.reshape(values, [-1]), at, axis=0)
            for values in (self._places, self._in_table)
        )
        label = graph.one("Add", self._label_of(place, in_table), graph.integers(1))
        boxes = graph.one("Gather", self._table, in_table, axis=0)
        rows = graph.joined([columns(graph, image, label, scores), boxes], 1)
        rows = or_instead(graph, rows, no_detections(graph, self._images))
        self.write(y, graph.reshape(rows, [1, 1, -1, 7]))

    def _decoded(self, x: Tensor, anchors: Anchors) -> tuple[str, str]:
        """Return boxes (N, B, 4) and scores (N, B, C) by row, column and anchor."""
        graph, (n, channels, rows, columns_) = self.graph, x.shape
        values = channels // len(anchors)
        maps = graph.reshape(self.read(x), [n, len(anchors), values, rows, columns_])
        maps = graph.one("Transpose", maps, perm=[0, 3, 4, 1, 2])
        flat = graph.reshape(maps, [n, rows * columns_ * len(anchors), values])
        place, logarithm, scores = self._parts(flat)
        row, column = np.mgrid[:rows, :columns_]
        cells = np.stack([column, row], -1).reshape(-1, 1, 2)
        cells = np.broadcast_to(cells, (rows * columns_, len(anchors), 2)).reshape(1, -1, 2)
        sizes = np.tile(np.array(anchors), (rows * columns_, 1))[None]
        whole = np.array([columns_, rows])
        center = graph.one("Add", place, graph.reals(cells))
        center = graph.one("Div", center, graph.reals(whole))
        factor = graph.one("Exp", graph.one("Min", logarithm, graph.reals(LARGEST_EXPONENT)))
        half = graph.one("Mul", factor, graph.reals(sizes / whole / 2))
        ends = [graph.one("Sub", center, half), graph.one("Add", center, half)]
        return graph.joined(ends, 2), scores

    def _parts(self, flat: str) -> tuple[str, str, str]:
        """Return place in the cell (N, B, 2), logarithm of size and scores (N, B, C)."""
        graph, n_classes = self.graph, self.op.n_classes
        place, logarithm, objectness, classes = graph.split(flat, [2, 2, 1, n_classes], 2)
        shares = graph.one("Softmax", classes, axis=2)
        scores = graph.one("Mul", graph.one("Sigmoid", objectness), shares)
        return graph.one("Sigmoid", place), logarithm, scores

    def _candidates(self, scores: str, n_images: int) -> tuple[str, int]:
        """Return the scores of candidates (N, T), and T."""
        self._best = self.graph.one("ArgMax", scores, axis=2, keepdims=0)
        return self.graph.reduce("ReduceMax", scores, [2]), self._n_boxes

    def _box_of(self, places: str) -> str:
        """Return which box of its image a candidate is."""
        return places

    def _label_of(self, place: str, in_table: str) -> str:
        """Return the class of candidates, given their place and the row of their box."""
        return self.graph.one("Gather", self.graph.reshape(self._best, [-1]), in_table, axis=0)

    def _least(self) -> float:
        """Return what scores must exceed."""
        return below(self.op.threshold)


@emitter(Yolov3Output)
class Yolov3OutputEmitter(YoloOutputEmitter):
    """Every class of a box is a candidate."""

    op: Yolov3Output

    def _parts(self, flat: str) -> tuple[str, str, str]:
        """Return place in the cell (N, B, 2), logarithm of size and scores (N, B, C)."""
        graph, n_classes = self.graph, self.op.n_classes
        if not self.op.is_gaussian:
            place, logarithm, rest = graph.split(flat, [2, 2, 1 + n_classes], 2)
            objectness, classes = graph.split(graph.one("Sigmoid", rest), [1, n_classes], 2)
            return graph.one("Sigmoid", place), logarithm, graph.one("Mul", objectness, classes)
        values = [
            graph.one("Gather", flat, graph.integers(at), axis=2)
            for at in ([0, 2], [4, 6], [1, 3, 5, 7])
        ]
        rest = graph.slice(flat, [8], [9 + n_classes], [2])
        objectness, classes = graph.split(graph.one("Sigmoid", rest), [1, n_classes], 2)
        deviation = graph.reduce("ReduceMean", graph.one("Sigmoid", values[2]), [2], keepdims=True)
        certainty = graph.one("Sub", graph.reals(1), deviation)
        scores = graph.one("Mul", graph.one("Mul", objectness, classes), certainty)
        return graph.one("Sigmoid", values[0]), values[1], scores

    def _candidates(self, scores: str, n_images: int) -> tuple[str, int]:
        """Return the scores of candidates (N, T), and T."""
        n = self._n_boxes * self.op.n_classes
        return self.graph.reshape(scores, [n_images, n]), n

    def _box_of(self, places: str) -> str:
        """Return which box of its image a candidate is."""
        return self.graph.one("Div", places, self.graph.integers(self.op.n_classes))

    def _label_of(self, place: str, in_table: str) -> str:
        """Return the class of candidates, given their place and the row of their box."""
        return self.graph.one("Mod", place, self.graph.integers(self.op.n_classes))

    def _least(self) -> float:
        """Return what scores must exceed."""
        return self.op.threshold
