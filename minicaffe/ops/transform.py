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
    parcels : int
        Batches that may be on their way or waiting at the same time.
    """

    scale: float
    parcels: int


class Parcel(Protocol):
    """One batch on its way; the host fills the arrays, all of them, and sends it.

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

    def send(self) -> None:
        """Begin to bring it to the device; the arrays are not to be touched from now on."""


class TransformKernel(Protocol):
    """Forward only. `parcel` may be called, and parcels filled and sent, by any one thread."""

    def parcel(self) -> Parcel | None:
        """Return a parcel to fill; None if as many as were planned are under way already.

        One that nobody holds on to any more counts no longer, and neither does one that `forward`
        was given.
        """

    def forward(self, parcel: Parcel, mean: Tensor, y: Tensor, labels: Tensor | None) -> None:
        """Overwrite y and, where given, labels (N,), from a parcel that was sent."""
