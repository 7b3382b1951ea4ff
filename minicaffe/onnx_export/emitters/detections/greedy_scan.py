"""Suppression box by box, for what NonMaxSuppression does not do; a Scan over a table of overlaps.

The table has a value for each pair of the T boxes of a group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from minicaffe.onnx_export.graph import OnnxGraph

INT64, FLOAT = 7, 1  # types of ONNX
# Values of the table of overlaps that are still allowed: half a GB.
MOST_PAIRS = 2**27

# Intersection over union, over the smaller box, or over the better one.
Measure: TypeAlias = Literal["IOU", "IOMU", "IOFU"]


@dataclass(frozen=True)
class GreedyRule:
    """Which boxes a kept one removes.

    Parameters
    ----------
    threshold : float
        Boxes whose overlap is larger are removed.
    measure : str
    eta : float
        Factor of the threshold after each kept box, as long as the threshold is above 0.5.
    least : float
        Scores must be larger.
    """

    threshold: float
    measure: Measure = "IOU"
    eta: float = 1.0
    least: float = -math.inf


def greedily_kept(graph: OnnxGraph, rule: GreedyRule, boxes: str, scores: str, n: int) -> str:
    """Return the scores (G, T) of boxes (G, T, 4), T = n, with -inf for those that are not kept.

    The boxes of a group are in order of descending score.
    """
    table = _overlaps(graph, rule.measure, boxes)
    largest = graph.filled(-math.inf, scores)
    size = graph.one("Slice", graph.one("Shape", scores), *map(graph.integers, ([0], [1])))
    threshold = graph.one("Expand", graph.reals(rule.threshold), size)
    places = graph.reals([float(k) for k in range(n)])
    outputs = graph.add(
        "Scan",
        *(largest, threshold, table, scores, places),
        n=3,
        body=_step(graph, rule),
        num_scan_inputs=3,
        scan_input_axes=[1, 1, 0],
        scan_output_axes=[1],
    )
    return outputs[2]


def _step(graph: OnnxGraph, rule: GreedyRule) -> OnnxGraph:
    """Return what is done for one box of each group.

    Its inputs are the largest overlap of each box with a kept one (G, T), the threshold (G,), the
    overlaps of this box (G, T), its score (G,) and its place; its outputs the first two as they are
    then, and the score or -inf.
    """
    body = OnnxGraph(graph.opset, layer=f"{graph.layer}/box", taken=graph.taken)
    names = ("largest", "threshold", "overlaps", "score", "place")
    largest, threshold, overlaps, score, place = (
        body.unique(f"{body.layer}/{name}") for name in names
    )
    for name in (largest, threshold, overlaps, score, place):
        body.inputs[name] = ()
    at = body.one("Cast", place, to=INT64)
    is_removed = body.one("Greater", body.one("Gather", largest, at, axis=1), threshold)
    is_enough = body.one("Greater", score, body.reals(rule.least))
    is_kept = body.one("And", is_enough, body.one("Not", is_removed))
    more = body.one("Max", largest, overlaps)
    lower = body.one("Greater", threshold, body.reals(0.5))
    lower = body.one("And", lower, is_kept)
    results = (
        body.one("Where", body.unsqueeze(is_kept, [1]), more, largest),
        body.one("Where", lower, body.times(threshold, rule.eta), threshold),
        body.one("Where", is_kept, score, body.reals(-math.inf)),
    )
    for name in results:
        body.outputs[name] = ()
    return body


def _overlaps(graph: OnnxGraph, measure: Measure, boxes: str) -> str:
    """Return the overlap of each box of a group, if it is kept, with each other, (G, T, T)."""
    common, sides = "", []
    left, top, right, bottom = graph.split(boxes, [1] * 4, 2)
    for first, last in ((left, right), (top, bottom)):
        # (G, 1, T), beside (G, T, 1).
        others = [graph.one("Transpose", value, perm=[0, 2, 1]) for value in (first, last)]
        begin, end = graph.one("Max", first, others[0]), graph.one("Min", last, others[1])
        side = graph.one("Max", graph.one("Sub", end, begin), graph.reals(0))
        common = graph.one("Mul", common, side) if common else side
        # A box whose sides are reversed overlaps nothing.
        sides.append(graph.one("Max", graph.one("Sub", last, first), graph.reals(0)))
    area = graph.one("Mul", *sides)
    other_area = graph.one("Transpose", area, perm=[0, 2, 1])
    if measure == "IOU":
        whole = graph.one("Sub", graph.one("Add", area, other_area), common)
    else:
        whole = graph.one("Min", area, other_area) if measure == "IOMU" else area
    is_some = graph.one("Greater", common, graph.reals(0))
    part = graph.one("Div", common, graph.one("Where", is_some, whole, graph.reals(1)))
    return graph.one("Where", is_some, part, graph.reals(0))
