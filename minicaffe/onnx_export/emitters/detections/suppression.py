"""Suppression of boxes by better ones, and lists of the boxes that are left.

Candidates come in G groups, which do not suppress each other, of T boxes by descending score: boxes
(G, T, 4), scores (G, T). What is not kept gets the score -inf, so that the number of rows depends
on values in the last nodes only. Of equal scores, TopK puts the first one first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minicaffe.onnx_export.graph import OnnxGraph

INT64, FLOAT, BOOL = 7, 1, 9  # types of ONNX


@dataclass(frozen=True)
class SuppressionRule:
    """Which boxes a kept one removes.

    Parameters
    ----------
    threshold : float
        Boxes whose intersection over union is larger are removed.
    at_threshold : bool
        Whether those that overlap exactly so much are removed as well.
    least : float
        Scores must be larger.
    limit : int, optional
        The largest number of boxes to keep in a group.
    pixel : float
        What is added to both sides: 1 if the coordinates are those of pixels.
    """

    threshold: float
    at_threshold: bool = False
    least: float = -math.inf
    limit: int | None = None
    pixel: float = 0.0


def below(value: float) -> float:
    """Return the largest float32 below a float32."""
    return float(np.nextafter(np.float32(value), np.float32(-np.inf)))


def ranked(graph: OnnxGraph, scores: str, n: str) -> list[str]:
    """Return the n (1,) largest scores along the last axis, in order, and their places."""
    return graph.add("TopK", scores, n, n=2, axis=-1)


def surviving(graph: OnnxGraph, rule: SuppressionRule, boxes: str, scores: str, n: str) -> str:
    """Return the scores (G, T) of boxes (G, T, 4), with -inf for those that are not kept.

    n (1,) holds T. NonMaxSuppression gets ranks, T for the best box, instead of scores: these may
    be negative, which some runtimes do not take.
    """
    first, last = graph.split(boxes, [2, 2], 2)
    # NonMaxSuppression exchanges reversed sides; in Caffe such a box overlaps nothing.
    last = graph.plus(graph.one("Max", first, last), rule.pixel)
    threshold, limit = rule.threshold, rule.limit
    if rule.at_threshold and threshold <= 0:
        limit = 1  # every other box overlaps by 0 at least
    elif rule.at_threshold:
        threshold = below(threshold)
    ranks = graph.one("Range", graph.squeeze(n, [0]), graph.integers(0), graph.integers(-1))
    is_enough = graph.one("Greater", scores, graph.reals(rule.least))
    ranks = graph.one("Where", is_enough, graph.one("Cast", ranks, to=FLOAT), graph.reals(0))
    found = graph.one(
        "NonMaxSuppression",
        graph.joined([first, last], 2),
        graph.unsqueeze(ranks, [1]),
        n if limit is None else graph.integers([limit]),
        graph.reals([min(max(threshold, 0.0), 1.0)]),
        graph.reals([0]),
    )
    # Rows of group and place; the class in between is 0.
    places = graph.one("Gather", found, graph.integers([0, 2]), axis=1)
    kept = graph.one("GatherND", scores, places)
    nothing = graph.filled(-math.inf, scores)
    return graph.one("ScatterND", nothing, places, kept)


def best_of(graph: OnnxGraph, scores: str, n: str) -> str:
    """Return scores (G, T) with -inf for all but the n (1,) largest ones of each group."""
    kept, places = ranked(graph, scores, n)
    nothing = graph.filled(-math.inf, scores)
    return graph.one("ScatterElements", nothing, places, kept, axis=1)


def at_most(graph: OnnxGraph, n: str, limit: int) -> str:
    """Return a whole number (1,), or a limit if that is less."""
    most = graph.integers([limit])
    return graph.one("Where", graph.one("Less", n, most), n, most)


def listed(graph: OnnxGraph, scores: str) -> tuple[str, str]:
    """Return the scores above -inf, (M,), and their places in the flattened array, ascending."""
    flat = graph.reshape(scores, [-1])
    is_kept = graph.one("Greater", flat, graph.reals(-math.inf))
    places = graph.reshape(graph.one("NonZero", is_kept), [-1])
    return graph.one("Gather", flat, places, axis=0), places


def or_instead(graph: OnnxGraph, rows: str, nothing: str) -> str:
    """Return rows (M, K), or other rows (N, K) if there are none."""
    size = graph.one("Gather", graph.one("Shape", rows), graph.integers([0]))
    is_empty = graph.one("Equal", size, graph.integers([0]))
    end = graph.one(
        "Where", is_empty, graph.integers([np.iinfo(np.int64).max]), graph.integers([0])
    )
    instead = graph.one("Slice", nothing, graph.integers([0]), end, graph.integers([0]))
    return graph.joined([rows, instead], 0)


def columns(graph: OnnxGraph, *values: str) -> str:
    """Return values (M,) side by side as floats, (M, K)."""
    floats = [graph.one("Cast", value, to=FLOAT) for value in values]
    return graph.joined([graph.unsqueeze(value, [1]) for value in floats], 1)


def no_detections(graph: OnnxGraph, images: str) -> str:
    """Return a row [image, -1, -1, -1, -1, -1, -1] for each image (N,)."""
    pads = [graph.integers([0, 0, 0, 6]), graph.reals(-1)]
    return graph.one("Pad", columns(graph, images), *pads)
