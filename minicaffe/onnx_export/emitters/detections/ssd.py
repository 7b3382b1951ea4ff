"""Detections of SSD and RefineDet, by NonMaxSuppression."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minicaffe.errors import Unsupported
from minicaffe.onnx_export.backend import Emitter, emitter
from minicaffe.onnx_export.emitters.detections.greedy_scan import (
    MOST_PAIRS,
    GreedyRule,
    greedily_kept,
)
from minicaffe.onnx_export.emitters.detections.suppression import (
    SuppressionRule,
    at_most,
    best_of,
    columns,
    listed,
    no_detections,
    or_instead,
    ranked,
    surviving,
)
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.detection.boxes import LARGEST_EXPONENT, BoxCode
from minicaffe.ops.detection.detection_output import DetectionOutput


@dataclass(frozen=True)
class _Priors:
    """Values about prior boxes, each with four axes that broadcast over (N, P, L, 4).

    Parameters
    ----------
    boxes, center, size, variances : str
    """

    boxes: str
    center: str
    size: str
    variances: str


def _constant_priors(graph: OnnxGraph, values: HostArray) -> _Priors:
    """Return what (1, 2, P * 4) values are, as constants."""
    boxes, variances = values.astype(np.float64).reshape(2, 1, -1, 1, 4)
    first, last = boxes[..., :2], boxes[..., 2:]
    parts = boxes, (first + last) / 2, last - first, variances
    return _Priors(*map(graph.reals, parts))


def _computed_priors(graph: OnnxGraph, boxes: str, variances: str) -> _Priors:
    """Return what boxes are that the graph computes."""
    first, last = graph.split(boxes, [2, 2], 3)
    center = graph.times(graph.one("Add", first, last), 0.5)
    return _Priors(boxes, center, graph.one("Sub", last, first), variances)


def _decoded(graph: OnnxGraph, rule: BoxCode, codes: str, priors: _Priors) -> str:
    """Return the boxes of codes (N, P, L, 4)."""
    scaled = codes if rule.without_variance else graph.one("Mul", codes, priors.variances)
    if rule.kind == "corner":
        return graph.one("Add", priors.boxes, scaled)
    size = priors.size
    if rule.kind == "corner_size":
        moves = graph.one("Mul", scaled, graph.joined([size, size], 3))
        return graph.one("Add", priors.boxes, moves)
    shift, logarithm = graph.split(scaled, [2, 2], 3)
    middle = graph.one("Add", priors.center, graph.one("Mul", shift, size))
    factor = graph.one("Exp", graph.one("Min", logarithm, graph.reals(LARGEST_EXPONENT)))
    half = graph.times(graph.one("Mul", factor, size), 0.5)
    return graph.joined([graph.one("Sub", middle, half), graph.one("Add", middle, half)], 3)


@emitter(DetectionOutput)
class DetectionOutputEmitter(Emitter[DetectionOutput]):
    """Boxes, TopK and NonMaxSuppression for each image and class, then TopK for each image."""

    def choose(
        self,
        loc: Tensor,
        conf: Tensor,
        prior: Tensor,
        arm_conf: Tensor | None,
        arm_loc: Tensor | None,
    ) -> int:
        """Select boxes and return a number of rows; the true one is known when the graph runs."""
        self.mark_sensitive()
        op, graph, n = self.op, self.graph, loc.shape[0]
        self._labels = [k for k in range(op.n_classes) if k != op.background]
        self.require(
            self._labels and op.keep_top_k != 0 and op.suppression.top_k != 0,
            "by its settings it keeps no detection at all",
        )
        n_priors = prior.shape[2] // 4
        scores = self._scores(conf, arm_conf, n_priors)
        self._images = graph.samples(scores)
        self._count(scores, prior, n_priors)
        best, places = ranked(graph, scores, self._top)
        self._table = graph.reshape(self._boxes(loc, prior, arm_loc, n_priors), [-1, 4])
        self._in_table = self._rows_of_table(places)
        groups = graph.one("Gather", self._table, self._in_table, axis=0)
        sizes = (n * len(self._labels), -1) if self._n_top is None else (-1, self._n_top)
        kept = self._surviving(graph.reshape(groups, [*sizes, 4]), graph.reshape(best, sizes), n)
        n_ranked = -1 if self._n_top is None else len(self._labels) * self._n_top
        self._kept = graph.reshape(kept, [n, n_ranked])
        limit = op.keep_top_k
        if limit is not None and (self._n_top is None or limit < n_ranked):
            self._kept = best_of(graph, self._kept, at_most(graph, self._n_ranked, limit))
        return graph.free_rows()

    def forward(self, y: Tensor) -> None:
        """Overwrite y, by image, class and rank."""
        graph, n_labels = self.graph, len(self._labels)
        scores, at = listed(graph, self._kept)
        image = graph.one("Div", at, self._n_ranked)
        label = graph.one("Mod", graph.one("Div", at, self._top), graph.integers(n_labels))
        label = graph.one("Gather", graph.integers(self._labels), label, axis=0)
        in_table = graph.one("Gather", graph.reshape(self._in_table, [-1]), at, axis=0)
        boxes = graph.one("Gather", self._table, in_table, axis=0)
        rows = graph.joined([columns(graph, image, label, scores), boxes], 1)
        rows = or_instead(graph, rows, no_detections(graph, self._images))
        self.write(y, graph.reshape(rows, [1, 1, -1, 7]))

    def _count(self, scores: str, prior: Tensor, n_priors: int) -> None:
        """Note the numbers of priors P, and T that are ranked of each class: (1,).

        Priors that the graph computes behind free rows, such as proposals, have no fixed number.
        """
        graph, top_k = self.graph, self.op.suppression.top_k
        self._n_top: int | None = None
        if self.is_host_value(prior) or not graph.has_free_rows:
            self._n_top = min(top_k or n_priors, n_priors)
            self._n_priors, self._top = graph.integers([n_priors]), graph.integers([self._n_top])
        else:
            shape = graph.one("Shape", scores)
            self._n_priors = self._top = graph.one("Gather", shape, graph.integers([2]))
            if top_k is not None:
                self._top = at_most(graph, self._n_priors, top_k)
        self._n_ranked = graph.one("Mul", self._top, graph.integers([len(self._labels)]))

    def _surviving(self, boxes: str, scores: str, n: int) -> str:
        """Return the scores of the boxes of each image and class, -inf if they are not kept."""
        rule, top = self.op.suppression, self._n_top
        least = -math.inf if self.op.min_score is None else self.op.min_score
        if rule.eta == 1:
            simple = SuppressionRule(rule.threshold, least=least)
            return surviving(self.graph, simple, boxes, scores, self._top)
        if top is None:
            raise Unsupported("with eta below 1, the number of priors must be fixed")
        self.require(
            n * len(self._labels) * top**2 <= MOST_PAIRS,
            f"with eta below 1, {top} boxes of each class are too many to compare all pairs; set a "
            "smaller top_k in nms_param",
        )
        greedy = GreedyRule(rule.threshold, eta=rule.eta, least=least)
        return greedily_kept(self.graph, greedy, boxes, scores, top)

    def _boxes(self, loc: Tensor, prior: Tensor, arm_loc: Tensor | None, n_priors: int) -> str:
        """Return the boxes of all priors, (N, P, L, 4)."""
        op, graph, n = self.op, self.graph, loc.shape[0]
        if self.is_host_value(prior):
            priors = _constant_priors(graph, prior.read())
        else:
            both = graph.split(self.read(prior, (2, n_priors, 1, 4)), [1, 1], 0)
            priors = _computed_priors(graph, *both)
        if arm_loc is not None:
            moves = self.read(arm_loc, (n, n_priors, 1, 4))
            boxes = _decoded(graph, op.code, moves, priors)
            priors = _computed_priors(graph, boxes, priors.variances)
        codes = self.read(loc, (n, n_priors, self._n_codes, 4))
        return _decoded(graph, op.code, codes, priors)

    def _scores(self, conf: Tensor, arm_conf: Tensor | None, n_priors: int) -> str:
        """Return the scores of all priors in the classes that count, (N, labels, P)."""
        op, graph, n = self.op, self.graph, conf.shape[0]
        scores = self.read(conf, (n, n_priors, op.n_classes))
        if arm_conf is not None:
            objectness = graph.slice(self.read(arm_conf, (n, n_priors, 2)), [1], [2], [2])
            is_none = graph.one("Less", objectness, graph.reals(op.min_objectness))
            only_background = np.arange(op.n_classes) == op.background
            nothing = graph.reals(only_background)
            scores = graph.one("Where", is_none, nothing, scores)
        by_class = graph.one("Transpose", scores, perm=[0, 2, 1])
        return graph.one("Gather", by_class, graph.integers(self._labels), axis=1)

    @property
    def _n_codes(self) -> int:
        """The number of codes of a prior."""
        return 1 if self.op.shares_location else self.op.n_classes

    def _rows_of_table(self, places: str) -> str:
        """Return the rows of the table of boxes that priors (N, labels, T) have there."""
        graph, n_codes = self.graph, self._n_codes
        n_rows = graph.one("Mul", self._n_priors, graph.integers([n_codes]))
        first = graph.one("Mul", self._images, n_rows)
        rows = graph.one("Mul", places, graph.integers(n_codes))
        rows = graph.one("Add", rows, graph.reshape(first, [-1, 1, 1]))
        if n_codes == 1:
            return rows
        return graph.one("Add", rows, graph.integers([[[k] for k in self._labels]]))
