"""Convolution in N dimensions: what every backend must compute.

Tensors in planning order: x (N, C, *S), w (F, C / group, *kernel), y (N, F, *S') and, with bias,
b (F,). Filters are correlated, not flipped::

    y[n, f, p] = b[f] + sum over c, k of w[f, c, k] * x[n, c, p * stride - pad + k * dilation]

where positions outside the image count as zero and filter f of group g sees that group's channels
only. S' = (S + 2 pad - (dilation (kernel - 1) + 1)) / stride + 1, with the quotient rounded towards
zero: a kernel that exceeds the padded image by less than a stride has one position, which
`missing` values at the end of the axis complete.

With ``transposed`` this is the transposed convolution (Caffe's Deconvolution, the gradient of a
convolution with respect to its input): x (N, C, *S), w (C, F / group, *kernel), y (N, F, *S') with
S' = stride (S - 1) + dilation (kernel - 1) + 1 - 2 pad.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Shape, Tensor
from minicaffe.ops.im2col import Im2col


@dataclass(frozen=True)
class Conv(Op["ConvKernel"]):
    """Describe a convolution; each tuple has one entry per spatial axis (rows, columns, ...)."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape
    group: int = 1
    bias: bool = True
    transposed: bool = False


def missing(op: Conv | Im2col, image: Shape) -> Shape:
    """Return by how many values the window exceeds the padded image, by axis: most often 0."""
    axes = zip(image, op.kernel, op.dilation, op.pad, strict=True)
    return tuple(max(0, d * (k - 1) + 1 - n - 2 * p) for n, k, d, p in axes)


class ConvKernel(Protocol):
    """Forward, gradient of the data and gradient of the weights: three separate calls."""

    def forward(self, x: Tensor, w: Tensor, b: Tensor | None, y: Tensor) -> None:
        """Overwrite y."""

    def backward_data(self, dy: Tensor, w: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""

    def backward_weights(self, x: Tensor, dy: Tensor, dw: Tensor | None, db: Tensor | None) -> None:
        """Add to dw and, with bias, to db. Either may be None if it is not needed."""
