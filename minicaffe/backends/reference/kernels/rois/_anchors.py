"""Anchors of all cells of a map, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.ops.backend import HostArray
from minicaffe.ops.rois.anchors import Box


def placed_anchors(anchors: Sequence[Box], rows: int, columns: int, stride: int) -> HostArray:
    """Return the anchors of all cells, (rows, columns, A, 4)."""
    y, x = np.mgrid[:rows, :columns] * stride
    boxes: HostArray = np.array(anchors) + np.stack([x, y, x, y], -1)[:, :, None]
    return boxes
