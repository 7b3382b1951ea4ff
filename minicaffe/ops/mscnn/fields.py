"""Fields of MS-CNN's maps: what offsets of boxes are relative to.

The box of offsets (x, y, w, h) at cell (row, column), with (mean, deviation) of each applied, x and
y cut to -1 / xy_limit .. 1 / xy_limit, w and h to -log(size_limit) .. log(size_limit), is::

    center x width + (column + 0.5) step, y height + (row + 0.5) step
    size   exp(w) width, exp(h) height
"""

from __future__ import annotations

from dataclasses import dataclass

# One number for x, y, w, h each.
Four = tuple[float, float, float, float]
NO_MEANS: Four = (0.0, 0.0, 0.0, 0.0)
NO_DEVIATIONS: Four = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Field:
    """The field of a cell, in pixels.

    Parameters
    ----------
    height, width : float
    step : float
        Distance of cells.
    xy_limit, size_limit : float
    """

    height: float
    width: float
    step: float
    xy_limit: float
    size_limit: float
