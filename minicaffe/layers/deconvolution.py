"""Deconvolution: convolution transposed."""

from __future__ import annotations

from minicaffe.layers.convolution import Convolution
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape


@register("Deconvolution")
class Deconvolution(Convolution):
    """Apply a transposed convolution with learned filters.

    Shapes: x (N, C, *S) -> y (N, F, *S')

    Notes
    -----
    The gradient of a convolution with respect to its input, used to upsample images:
    S' = stride (S - 1) + dilation (kernel - 1) + 1 - 2 pad. With a bilinear filler, group = C =
    num_output and lr_mult: 0 it interpolates.

    Parameters: weights (C, F / group, *kernel), then bias (F,).
    """

    transposed = True
    quantized_type = "DeconvolutionRistretto"

    def _output_size(self, name: str, image: Shape) -> Shape:
        self.require_shape(
            min(image, default=1) > 0, f'bottom "{name}" has images of {image}, without a pixel'
        )
        w = self.window
        spans = zip(image, w.pad, w.extent(), w.stride, strict=True)
        sizes = tuple(s * (n - 1) + extent - 2 * p for n, p, extent, s in spans)
        self.require_shape(
            min(sizes, default=1) > 0,
            f'bottom "{name}" has images of {image}; pad {w.pad} leaves nothing of the output',
        )
        return sizes
