"""Bilinear samples on a grid over regions of interest: what every backend must compute.

Tensors in planning order: x (N, C, H, W), rois (R, 5), y. A row of rois is [image, x1, y1, x2, y2].

Corners are padded and scaled as in `minicaffe.ops.rois.roi_pooling`, rounded if `is_rounded`, and
cut into h x w cells of (end - start) / h rows and (end - start) / w columns, at least 0. y[r, :, i,
j] is the bilinear sample of x at row start + i (end - start) / h - shift, and the column alike, for
i in 0 .. h - 1, and h if `has_end`.

A sample within half a pixel of the outer pixels' centers is taken on their line; one farther
outside is 0, and so is its gradient. The gradient of a corner is that of the sample's place, as if
it was not rounded, and 0 along an axis on which the sample was moved to the outer pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class RoiGridSample(Op["RoiSampleKernel"]):
    """Describe bilinear samples on a grid over a region; `cells` is (h, w)."""

    cells: tuple[int, int]
    scale: float
    shift: float
    pad_ratio: float = 0.0
    is_rounded: bool = False
    has_end: bool = False


class RoiSampleKernel(Protocol):
    """Sample, and the gradients of x and of the corners; waits for the device."""

    def forward(self, x: Tensor, rois: Tensor, y: Tensor) -> None:
        """Overwrite y.

        Raises
        ------
        LabelError
            If the image of a region is not a whole number in 0 .. N - 1.
        """

    def backward(
        self, x: Tensor, rois: Tensor, dy: Tensor, dx: Tensor | None, drois: Tensor | None
    ) -> None:
        """Overwrite dx and drois; None for those that are not needed."""
