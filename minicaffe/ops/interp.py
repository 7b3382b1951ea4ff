"""Bilinear interpolation with aligned corners: what every backend must compute.

Tensors x (N, C, H, W), y (N, C, H', W'). The first and last `crop` = (begin, end) rows and columns
of x are left out; h and w are what remains. The corner pixels of y are those of what remains, and
pixel i of H' rows lies at row i (h - 1) / (H' - 1), at 0 if H' is 1; columns likewise::

    at = i (h - 1) / (H' - 1), low = floor(at), f = at - low
    y[i] = (1 - f) x[begin + low] + f x[begin + min(low + 1, h - 1)]

first for rows, then for columns. The gradient is distributed with the same weights; a value of dy
that is not finite may make its whole image of dx not finite. Without a change of size values and
gradients are copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Shape, Tensor


@dataclass(frozen=True)
class Interp(Op["InterpKernel"]):
    """Describe a resize of images, of which `crop` pixels at the beginning and end are left out."""

    crop: tuple[int, int] = (0, 0)

    def is_copy(self, x: Shape, y: Shape) -> bool:
        """Return whether nothing changes, given the shapes of x and y."""
        return x == y and not any(self.crop)


class InterpKernel(Protocol):
    """Resize, and distribute the gradient."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
