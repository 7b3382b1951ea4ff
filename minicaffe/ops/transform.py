"""Preprocessing of a batch of images on the device: mean subtraction, scaling, mirroring.

Tensors in planning order: mean (C, H, W), of whole images, or (C, 1, 1), one value per channel; y
(N, C, rows, columns). The host has cropped each image to a window of rows x columns at (top, left).
With k = j or, in a mirrored image, columns - 1 - j::

    y[n, c, i, j] = (images[n, c, i, k] - mean[c, top[n] + i, left[n] + k]) * scale

in float32, the difference rounded before the product: bitwise equal to the arithmetic of the host
(`minicaffe.data.transformer`).

Only backends with a separate device memory have a kernel: they copy bytes instead of floats, a
quarter of the size, while the device computes. If `plan` raises `Unsupported`, the host transforms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minicaffe.ops.backend import Op, Shape, Tensor


@dataclass(frozen=True)
class Transform(Op["TransformKernel"]):
    """Describe the transformation.

    Parameters
    ----------
    scale : float
    depth : int
        Number of batches that may be in use at the same time.
    """

    scale: float
    depth: int


class StagedBatch(Protocol):
    """A batch in page-locked host memory: the host fills all arrays, then uploads it.

    Attributes
    ----------
    images : ndarray, uint8, shape (N, C, rows, columns)
        The cropped images, not mirrored.
    windows : ndarray, int32, shape (N, 3)
        For each image top and left of its window, and 1 if it is mirrored, else 0.
    labels : ndarray, float32, shape (N,)
    """

    images: NDArray[np.uint8]
    windows: NDArray[np.int32]
    labels: NDArray[np.float32]

    @property
    def shape(self) -> Shape:
        """Shape of `images`."""

    def upload(self) -> None:
        """Start the copy to the device; the arrays must not be accessed from now on."""


class TransformKernel(Protocol):
    """Forward only. One other thread may call `stage` and fill and upload the batches."""

    def stage(self) -> StagedBatch | None:
        """Return a batch to fill; None if as many as were planned are in use.

        A batch is free again after `forward`, or when its last reference goes away.
        """

    def forward(self, staged: StagedBatch, mean: Tensor, y: Tensor, labels: Tensor | None) -> None:
        """Overwrite y and, where given, labels (N,), from a batch that was uploaded."""
