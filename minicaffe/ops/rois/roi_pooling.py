"""Pooling inside regions of interest: what every backend must compute.

Tensors in planning order: x (N, C, H, W), rois (R, 5), y. A row of rois is [image, x1, y1, x2, y2],
corners in pixels of the input image, whole numbers stored as floats or not. Backward reads rois.
round() rounds halves away from zero; all windows are cut to the map.

RoiMaxPool: y (R, C, h, w). Each corner is rounded after scaling; the region has at least one
pixel and its end counts. With size = end - start + 1, bin (i, j) has the rows::

    start + floor(i size / h) .. start + ceil((i + 1) size / h) - 1

and the columns alike. y is the maximum over the bin, 0 for a bin without a pixel; dy goes to the
first maximum in row-major order. With `pad_ratio` p, each side of the region first moves outwards
by p (x2 - x1 + 1), or p (y2 - y1 + 1), before scaling.

PsRoiAveragePool: x has D g g channels, y (R, D, g, g). Corners are rounded before scaling::

    start = round(x1) scale, end = (round(x2) + 1) scale, size = max(end - start, 0.1)

Bin (i, j) has the rows floor(start + i size / g) .. ceil(start + (i + 1) size / g) - 1, and the
columns alike; y[r, d, i, j] is the mean over the bin of channel (d g + i) g + j, 0 for no pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class RoiMaxPool(Op["RoiPoolKernel"]):
    """Describe the maximum in each bin of a region; `bins` is (h, w)."""

    bins: tuple[int, int]
    scale: float
    pad_ratio: float = 0.0


@dataclass(frozen=True)
class PsRoiAveragePool(Op["RoiPoolKernel"]):
    """Describe the mean in each bin of a region, over channels that belong to the bin."""

    group: int
    scale: float


class RoiPoolKernel(Protocol):
    """Pool, and the gradient of x; waits for the device, as the bins depend on values."""

    def forward(self, x: Tensor, rois: Tensor, y: Tensor) -> None:
        """Overwrite y.

        Raises
        ------
        LabelError
            If the image of a region is not a whole number in 0 .. N - 1.
        """

    def backward(self, rois: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
