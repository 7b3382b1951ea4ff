"""Comparison of detections with true boxes: what every backend must compute.

Tensors in planning order: detections (1, 1, D, 7), rows [image, class, score, xmin, ymin, xmax,
ymax]; truth (1, 1, G, 8), rows [image, class, instance, xmin, ymin, xmax, ymax, difficult]. Rows
whose image or class is -1 do not count.

y (1, 1, M, 5) has for each class but the background a row [-1, class, number of true boxes, -1,
-1], difficult ones left out unless they count; then a row [image, class, score, true positive,
false positive] for each detection, by image and class. Detections of an image and class with true
boxes are taken by descending score, and compared with these: if the largest overlap is at least
the threshold and that box was not found before, one is a true positive, otherwise a false one; one
whose best box is difficult is neither, unless difficult boxes count. Where there are no true boxes,
all are false positives, in their order. No gradient.

If the sizes of the images are given, boxes are cut to the image, scaled to its pixels, and their
sides count one pixel longer. With a padded size, the boxes are those of an image of that size, in
which the given one fills rows or columns and is in the middle of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class DetectionEvaluate(Op["DetectionEvaluateKernel"]):
    """Describe a comparison of detections with true boxes.

    Parameters
    ----------
    n_classes : int
    background : int or None
        The class that is no object.
    overlap_threshold : float
    counts_difficult : bool
    padded_size : (int, int) or None
        Rows and columns.
    """

    n_classes: int
    background: int | None
    overlap_threshold: float
    counts_difficult: bool
    padded_size: tuple[int, int] | None = None


class DetectionEvaluateKernel(Protocol):
    """Compare, then write the rows."""

    def compare(self, detections: Tensor, truth: Tensor, sizes: Sequence[tuple[int, int]]) -> int:
        """Compare and return the number of rows; waits for the device.

        `sizes` are rows and columns of each image, or empty.

        Raises
        ------
        LabelError
            If a class does not exist or is the background.
        """

    def forward(self, y: Tensor) -> None:
        """Overwrite y, which has as many rows as `compare` returned."""
