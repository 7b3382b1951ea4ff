"""Matching of prior boxes with true boxes, on the host."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicaffe.backends.reference.kernels.detection._boxes import overlap_table
from minicaffe.ops.backend import HostArray
from minicaffe.ops.detection.multibox_loss import Matching

FREE, IGNORED = -1, -2
# Smaller overlaps do not count.
_SMALLEST = 1e-6


class Matches(NamedTuple):
    """The matches of P boxes.

    Parameters
    ----------
    truth : ndarray of int, (P,)
        Index of the true box of each; or FREE, or IGNORED.
    overlap : ndarray, (P,)
        The largest overlap of each with any true box.
    """

    truth: HostArray
    overlap: HostArray


def match(rule: Matching, boxes: HostArray, truth: HostArray) -> Matches:
    """Match P boxes with G true boxes; see `minicaffe.ops.detection.multibox_loss`.

    Parameters
    ----------
    rule : Matching
    boxes : ndarray, (P, 4)
    truth : ndarray, (G, 4)
    """
    table = overlap_table(truth, boxes)
    table[table <= _SMALLEST] = 0
    found = np.full(len(boxes), FREE)
    if rule.ignores_crossing:
        crosses = ((boxes < 0) | (boxes > 1)).any(1)
        found[crosses] = IGNORED
        table[:, crosses] = 0
    if not len(truth):
        return Matches(found, np.zeros(len(boxes), boxes.dtype))
    best = table.max(0)
    _match_pairs(table, found)
    if rule.method == "per_prediction":
        more = (found == FREE) & (best >= rule.threshold) & (best > 0)
        found[more] = table[:, more].argmax(0)
    return Matches(found, best)


def _match_pairs(table: HostArray, found: HostArray) -> None:
    """Match the pair with the largest overlap in a table (G, P), until no pair is left.

    Of equal pairs the one with the first box is taken, then the one with the first true box.
    """
    rest = table.copy()
    boxes, values = rest.argmax(1), rest.max(1)
    while (largest := values.max()) > 0:
        equal = np.flatnonzero(values == largest)
        row = equal[boxes[equal].argmin()]
        box = boxes[row]
        found[box] = row
        rest[row], rest[:, box] = 0, 0
        values[row] = 0
        for stale in np.flatnonzero((boxes == box) & (values > 0)):
            boxes[stale] = rest[stale].argmax()
            values[stale] = rest[stale, boxes[stale]]
