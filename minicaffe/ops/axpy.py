"""Products with a number for each channel, or each pixel, of a sample: what must be computed.

Axpy: tensors a, N C values of any shape, x (N, C, ...), z like x, y like x; y may be z::

    y = a[n, c] x + z          dx = a[n, c] dy          da[n, c] = sum of dy x          dz = dy

where the sum goes over the pixels. PixelScale: tensors x (N, C, ...), s, N P values for P pixels in
any shape, y like x::

    y = s[n, p] x              dx = s[n, p] dy          ds[n, p] = sum of dy x

where the sum goes over the channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor


@dataclass(frozen=True)
class Axpy(Op["AxpyKernel"]):
    """Describe a sum of two tensors, the channels of one of which are scaled."""


class AxpyKernel(Protocol):
    """Forward, and the gradients of factors and scaled tensor; that of the other is dy."""

    def forward(self, a: Tensor, x: Tensor, z: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be z itself."""

    def backward_factors(self, x: Tensor, dy: Tensor, da: Tensor) -> None:
        """Overwrite da."""

    def backward_data(self, a: Tensor, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""


@dataclass(frozen=True)
class PixelScale(Op["PixelScaleKernel"]):
    """Describe a product of every channel with one image of factors."""


class PixelScaleKernel(Protocol):
    """Forward, and the gradients of factors and data."""

    def forward(self, x: Tensor, s: Tensor, y: Tensor) -> None:
        """Overwrite y."""

    def backward_factors(self, x: Tensor, dy: Tensor, ds: Tensor) -> None:
        """Overwrite ds."""
