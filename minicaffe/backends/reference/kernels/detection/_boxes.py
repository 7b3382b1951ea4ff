"""Areas, overlaps, codes and suppression of boxes, on the host; see `ops/detection/boxes.py`.

Arrays of boxes have the shape (..., 4).
"""

from __future__ import annotations

import numpy as np

from minicaffe.ops.backend import HostArray
from minicaffe.ops.detection.boxes import LARGEST_EXPONENT, BoxCode, Suppression
from minicaffe.suppression import Removal, keep_maxima


def areas(boxes: HostArray, pixel: float = 0.0) -> HostArray:
    """Return areas, (...); 0 for a box whose sides are reversed.

    Parameters
    ----------
    boxes : ndarray
    pixel : float
        What is added to both sides: 1 if the coordinates are those of pixels.
    """
    width, height = (boxes[..., k + 2] - boxes[..., k] for k in (0, 1))
    found: HostArray = (width + pixel) * (height + pixel) * ((width >= 0) & (height >= 0))
    return found


@np.errstate(over="ignore", invalid="ignore")  # boxes of a net that was not trained
def overlap_table(a: HostArray, b: HostArray, pixel: float = 0.0) -> HostArray:
    """Return the overlap of each of A boxes with each of B, (A, B)."""
    # One array a coordinate: the last axis is then long enough for vector instructions.
    left, top, right, bottom = (np.ascontiguousarray(side) for side in b.T)
    width = np.minimum(a[:, 2:3], right) - np.maximum(a[:, 0:1], left) + pixel
    height = np.minimum(a[:, 3:4], bottom) - np.maximum(a[:, 1:2], top) + pixel
    common = np.maximum(width, 0) * np.maximum(height, 0)
    union = areas(a, pixel)[:, None] + areas(b, pixel) - common
    found: HostArray = np.divide(common, union, out=np.zeros_like(common), where=common > 0)
    return found


def center_size(boxes: HostArray) -> tuple[HostArray, HostArray]:
    """Return centers and sizes, both (..., 2)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def decode(rule: BoxCode, codes: HostArray, priors: HostArray, variances: HostArray) -> HostArray:
    """Return the boxes of codes, like `codes`; the others broadcast to it."""
    scaled = codes if rule.without_variance else codes * variances
    if rule.kind == "corner":
        return priors + scaled
    boxes: HostArray
    center, size = center_size(priors)
    if rule.kind == "corner_size":
        boxes = priors + scaled * np.concatenate([size, size], -1)
    else:
        middle = center + scaled[..., :2] * size
        half = np.exp(np.minimum(scaled[..., 2:], LARGEST_EXPONENT)) * size / 2
        boxes = np.concatenate([middle - half, middle + half], -1)
    return boxes


def encode(rule: BoxCode, boxes: HostArray, priors: HostArray, variances: HostArray) -> HostArray:
    """Return the codes of boxes: the inverse of `decode`."""
    center, size = center_size(priors)
    if rule.kind == "corner":
        scaled = boxes - priors
    elif rule.kind == "corner_size":
        scaled = (boxes - priors) / np.concatenate([size, size], -1)
    else:
        middle, sides = center_size(boxes)
        scaled = np.concatenate([(middle - center) / size, np.log(sides / size)], -1)
    return scaled if rule.without_variance else scaled / variances


def suppress(rule: Suppression, boxes: HostArray, scores: HostArray) -> HostArray:
    """Return the indices of the boxes that are kept, by descending score."""
    order = np.argsort(-scores, kind="stable")[: rule.top_k]
    ranked = boxes[order]

    def overlaps(kept: HostArray, others: HostArray) -> HostArray:
        return overlap_table(ranked[kept], ranked[others])

    kept: HostArray = order[
        keep_maxima(len(order), overlaps, Removal(rule.threshold, eta=rule.eta))
    ]
    return kept
