"""Anchors of region proposal networks: boxes that every cell of a map predicts from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

# First and last column and row, [x1, y1, x2, y2], in pixels.
Box: TypeAlias = tuple[float, float, float, float]


def region_anchors(
    base_size: float, ratios: Sequence[float], scales: Sequence[float]
) -> tuple[Box, ...]:
    """Return the anchors of the first cell: for each ratio, each scale.

    Parameters
    ----------
    base_size : float
        Side of the square around which all are centered, in pixels.
    ratios : sequence of float
        Height over width; the area is that of the square, the sides are rounded.
    scales : sequence of float
        Multiply both sides.
    """
    center, anchors = (base_size - 1) / 2, []
    for ratio in ratios:
        width = math.floor(math.sqrt(base_size * base_size / ratio) + 0.5)
        height = math.floor(width * ratio + 0.5)
        for scale in scales:
            x, y = (width * scale - 1) / 2, (height * scale - 1) / 2
            anchors.append((center - x, center - y, center + x, center + y))
    return tuple(anchors)
