"""Accuracy of a segmentation: what every backend must compute.

Tensors in planning order: x (N, K, H, W), scores of K classes; labels, one per pixel; measures
(1, 1, 1, 3). A pixel is predicted as the class of its largest score, of equal ones the last. Pixels
whose label is in `ignored` do not count. counts[true, predicted] is the number of pixels. With
right = counts[k, k], true = sum of row k and predicted = sum of column k the measures are

    sum of right / sum of counts, 0 if no pixel counts;
    mean of right / true over the classes that are true somewhere, 0 if there is none;
    mean of right / (true + predicted - right) over all classes; a class with 0 / 0 counts as 1.

x with NaN is predicted as the last class with NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from minicaffe.ops.backend import Op, Tensor

PixelCounts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SegAccuracy(Op["SegAccuracyKernel"]):
    """Describe the accuracy of a segmentation."""

    ignored: tuple[int, ...] = ()


class SegAccuracyKernel(Protocol):
    """Forward only: accuracy has no gradient."""

    def forward(self, x: Tensor, labels: Tensor, counts: PixelCounts, measures: Tensor) -> None:
        """Add the pixels to counts, (K, K) in host memory; overwrite measures.

        Raises
        ------
        LabelError
            If a label that counts is not a whole number in 0 .. K - 1.
        """
