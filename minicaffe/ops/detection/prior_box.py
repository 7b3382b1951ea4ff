"""Prior boxes of the cells of a feature map: what every backend must compute.

The tensor in planning order is y (1, 2, rows * columns * S * 4) for a map of rows x columns cells
and S sizes. y[0, 0] holds the boxes by row, column and size: centered at ((column + offset) *
step[1], (row + offset) * step[0]) pixels, divided by the size of the image. y[0, 1] holds the four
variances, again and again. No gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class PriorBox(Op["PriorBoxKernel"]):
    """Describe prior boxes.

    Parameters
    ----------
    sizes : tuple of (float, float)
        Rows and columns of each box of a cell, pixels of the image.
    cells, image : (int, int)
        Rows and columns of the feature map and of the image.
    step : (float, float)
        Distance of cells along rows and columns, pixels.
    offset : float
        Position of a center in its cell, in units of the step.
    variances : tuple of four floats
    clip : bool
        Whether boxes are cut to the image.
    """

    sizes: tuple[tuple[float, float], ...]
    cells: tuple[int, int]
    image: tuple[int, int]
    step: tuple[float, float]
    offset: float
    variances: tuple[float, float, float, float]
    clip: bool


class PriorBoxKernel(Protocol):
    """Forward; there is no gradient."""

    def forward(self, y: Tensor) -> None:
        """Overwrite y."""
