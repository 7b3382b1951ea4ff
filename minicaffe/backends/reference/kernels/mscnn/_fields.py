"""Boxes of MS-CNN's maps, in NumPy; see `minicaffe.ops.mscnn.fields`."""

from __future__ import annotations

import numpy as np

from minicaffe.ops.backend import HostArray, Shape
from minicaffe.ops.mscnn.fields import Field


def cut_offsets(offsets: HostArray, field: Field) -> HostArray:
    """Return offsets (..., 4) within the limits of the field."""
    limit = np.array([1 / field.xy_limit] * 2 + [np.log(field.size_limit)] * 2)
    return np.clip(offsets, -limit, limit)


def cell_centers(size: Shape, step: float) -> HostArray:
    """Return x and y of the centers of cells, (rows, columns, 2), for rows and columns."""
    row, column = np.indices(size)
    centers: HostArray = (np.stack([column, row], -1) + 0.5) * step
    return centers


def field_boxes(offsets: HostArray, field: Field) -> HostArray:
    """Return the boxes [x1, y1, x2, y2] of offsets, both (N, rows, columns, 4)."""
    offsets, size = cut_offsets(offsets, field), np.array([field.width, field.height])
    centers = cell_centers(offsets.shape[1:3], field.step) + offsets[..., :2] * size
    halves = np.exp(offsets[..., 2:]) * size / 2
    return np.concatenate([centers - halves, centers + halves], -1)


def cover(a: HostArray, b: HostArray, kind: str = "IOU") -> HostArray:
    """Return the intersection of boxes over their union, the smaller one or the first one."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    first, second = ((boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (a, b))
    whole = {
        "IOU": first + second - shared,
        "IOMU": np.minimum(first, second),
        "IOFU": np.broadcast_to(first, shared.shape),
    }[kind]
    part: HostArray = shared / whole
    return part
