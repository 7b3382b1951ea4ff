"""Measures of overlap for losses, with their gradients, in NumPy."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.backends.reference.kernels.yolo._boxes import Truths
from minicaffe.ops.backend import HostArray
from minicaffe.ops.yolo.yolov3_loss import BoxLoss


def overlap_measure(kind: BoxLoss, a: HostArray, b: HostArray) -> HostArray:
    """Return the measure of boxes (..., 4) [x, y, w, h], whose arrays are broadcast."""
    if kind in ("mse", "iou"):
        return _iou(a, b)
    return measure_and_gradient(kind, a, b)[0]


def _iou(a: HostArray, b: HostArray) -> HostArray:
    """Return the IoU of boxes without its gradient, which takes several times as long."""
    starts, ends = ([x[..., :2] + side * x[..., 2:] for x in (a, b)] for side in (-0.5, 0.5))
    width, height = np.moveaxis(np.minimum(*ends) - np.maximum(*starts), -1, 0)
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    iou: HostArray = shared / (a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - shared)
    return iou


def measure_and_gradient(kind: BoxLoss, a: HostArray, b: HostArray) -> tuple[HostArray, HostArray]:
    """Return a measure (...) of boxes (..., 4) and its gradient (..., 4) with respect to a.

    "mse" means the IoU. The boxes must have an area.
    """
    a, b = np.broadcast_arrays(a, b)
    shared, d_shared = _product(*_extent(a, b, is_hull=False))
    area, d_area = a[..., 2:].prod(-1), np.zeros_like(a)
    d_area[..., 2:] = a[..., :1:-1]
    union, d_union = area + b[..., 2:].prod(-1) - shared, d_area - d_shared
    value, gradient = _quotient(shared, d_shared, union, d_union)
    sides, d_sides = _extent(a, b, is_hull=True)
    if kind == "giou":
        filled, d_filled = _quotient(union, d_union, *_product(sides, d_sides))
        value, gradient = value - 1 + filled, gradient + d_filled
    elif kind in ("diou", "ciou"):
        apart = a[..., :2] - b[..., :2]
        d_square = np.concatenate([2 * apart, np.zeros_like(apart)], -1)
        d_diagonal = 2 * np.concatenate([sides, sides], -1) * d_sides
        far, d_far = _quotient((apart**2).sum(-1), d_square, (sides**2).sum(-1), d_diagonal)
        shape, d_shape = _aspect(a, b, value) if kind == "ciou" else (0.0, 0.0)
        value, gradient = value - far - shape, gradient - d_far - d_shape
    return value, gradient


def _extent(a: HostArray, b: HostArray, is_hull: bool) -> tuple[HostArray, HostArray]:
    """Return width and height (..., 2) of the intersection or of the hull of boxes.

    The gradients (..., 4) are those with respect to x, y, w, h of a, each of the side on its axis.
    """
    starts, ends = ([x[..., :2] + side * x[..., 2:] for x in (a, b)] for side in (-0.5, 0.5))
    if is_hull:
        sides = np.maximum(*ends) - np.minimum(*starts)
        has_end, has_start = ends[0] > ends[1], starts[0] < starts[1]
    else:
        sides = np.maximum(np.minimum(*ends) - np.maximum(*starts), 0)
        has_end = (ends[0] < ends[1]) & (sides > 0)
        has_start = (starts[0] > starts[1]) & (sides > 0)
    by_end, by_start = has_end.astype(float), -has_start.astype(float)
    return sides, np.concatenate([by_end + by_start, (by_end - by_start) / 2], -1)


def _product(sides: HostArray, d_sides: HostArray) -> tuple[HostArray, HostArray]:
    """Return the product of two sides (..., 2) and its gradient (..., 4)."""
    others = sides[..., ::-1]
    return sides.prod(-1), d_sides * np.concatenate([others, others], -1)


def _quotient(
    x: HostArray, dx: HostArray, y: HostArray, dy: HostArray
) -> tuple[HostArray, HostArray]:
    """Return x / y and its gradient."""
    return x / y, (dx * y[..., None] - x[..., None] * dy) / (y * y)[..., None]


def _aspect(a: HostArray, b: HostArray, iou: HostArray) -> tuple[HostArray, HostArray]:
    """Return the aspect term of CIoU and its gradient; see `minicaffe.ops.yolo.yolov3_loss`."""
    apart = np.arctan2(b[..., 2], b[..., 3]) - np.arctan2(a[..., 2], a[..., 3])
    term = 4 / math.pi**2 * apart**2
    weight = np.divide(term, 1 - iou + term, out=np.zeros_like(term), where=term > 0)
    slope = 8 / math.pi**2 * apart * weight
    zero = np.zeros_like(slope)
    return weight * term, np.stack([zero, zero, -slope * a[..., 3], slope * a[..., 2]], -1)


def best_overlaps(boxes: HostArray, found: Truths, kind: BoxLoss = "iou") -> HostArray:
    """Return the largest measure of boxes (N, ..., 4) with a truth of their image, 0 for none."""
    best = np.zeros(boxes.shape[:-1])
    for image in np.unique(found.image):
        mine = found.box[found.image == image]
        best[image] = overlap_measure(kind, boxes[image][..., None, :], mine).max(-1)
    return best
