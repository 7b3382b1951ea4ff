"""Transform: what becomes of a batch of pictures that comes from the host.

Tensors in planning order: mean (C, H, W), of whole pictures, or (C, 1, 1), one value a channel; y
(N, C, rows, columns). The host has cut a window of rows x columns out of each picture; left and top
say where it lay. With k = j or, in a mirrored picture, columns - 1 - j::

    y[n, c, i, j] = (pictures[n, c, i, k] - mean[c, top[n] + i, left[n] + k]) * scale

in float32, the difference rounded before it is multiplied: the same bits as the host's own
arithmetic (`minicaffe.data.transformer`).

Only backends whose device is apart from the host have a kernel: there bytes travel where floats
would be four times as many, and they travel while the device computes. Where `plan` raises
`Unsupported`, the host transforms.
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
    pictures : ndarray, uint8, shape (N, C, rows, columns)
        The windows, not mirrored.
    windows : ndarray, int32, shape (N, 3)
        For each picture top and left of its window, and 1 if it is to be mirrored, else 0.
    labels : ndarray, float32, shape (N,)
    """

    pictures: NDArray[np.uint8]
    windows: NDArray[np.int32]
    labels: NDArray[np.float32]

    @property
    def shape(self) -> Shape:
        """Shape of the pictures."""
        ...

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
