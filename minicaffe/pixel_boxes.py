"""Boxes [x1, y1, x2, y2] whose last row and column count, in NumPy."""

from __future__ import annotations

import numpy as np

from minicaffe.ops.backend import HostArray
from minicaffe.suppression import Removal, keep_maxima


def centers_and_sizes(boxes: HostArray) -> tuple[HostArray, HostArray]:
    """Return centers and sizes (..., 2) of boxes, x first."""
    sizes = boxes[..., 2:4] - boxes[..., :2] + 1
    return boxes[..., :2] + sizes / 2, sizes


def decoded_boxes(boxes: HostArray, codes: HostArray) -> HostArray:
    """Return the boxes that codes (..., 4) stand for at other boxes (..., 4)."""
    centers, sizes = centers_and_sizes(boxes)
    centers, halves = centers + codes[..., :2] * sizes, np.exp(codes[..., 2:]) * sizes / 2
    return np.concatenate([centers - halves, centers + halves], -1)


def box_codes(boxes: HostArray, truths: HostArray) -> HostArray:
    """Return the codes (..., 4) of truths at boxes."""
    (centers, sizes), (wanted, wanted_sizes) = map(centers_and_sizes, (boxes, truths))
    return np.concatenate([(wanted - centers) / sizes, np.log(wanted_sizes / sizes)], -1)


def cut_to_image(boxes: HostArray, rows: float, columns: float) -> HostArray:
    """Return the boxes with corners in 0 .. rows - 1 and 0 .. columns - 1."""
    last = np.array([columns, rows, columns, rows]) - 1
    return np.clip(boxes, 0, last)


def pixel_overlaps(a: HostArray, b: HostArray) -> HostArray:
    """Return the intersection over union of boxes, whose arrays are broadcast."""
    # One array a coordinate: the last axis is then long enough for vector instructions.
    (left, top, right, bottom), others = (
        [np.ascontiguousarray(boxes[..., k]) for k in range(4)] for boxes in (a, b)
    )
    width = np.minimum(right, others[2]) - np.maximum(left, others[0]) + 1
    height = np.minimum(bottom, others[3]) - np.maximum(top, others[1]) + 1
    area = np.maximum(width, 0) * np.maximum(height, 0)
    areas = (
        (right - left + 1) * (bottom - top + 1),
        (others[2] - others[0] + 1) * (others[3] - others[1] + 1),
    )
    overlap: HostArray = area / (areas[0] + areas[1] - area)
    return overlap


def suppressed(boxes: HostArray, threshold: float, limit: int | None = None) -> HostArray:
    """Return the boxes, by descending score, that overlap no kept one by more than a threshold."""

    def overlaps(kept: HostArray, others: HostArray) -> HostArray:
        return pixel_overlaps(boxes[kept, None], boxes[others])

    return keep_maxima(len(boxes), overlaps, Removal(threshold), limit)
