"""Convolution with one group a channel, under the two names that forks give it."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.convolution import Convolution
from minicaffe.layers.registry import register


@register("DepthwiseConvolution")
class DepthwiseConvolution(Convolution):
    """Convolve each channel with learned filters of its own.

    Shapes: x (N, C, *S) -> y (N, F, *S')

    Notes
    -----
    A Convolution with group: C, unless the settings name another group. The name of this layer in
    MobileNet-YOLO and other forks.

    Parameters: weights (F, C / group, *kernel), then bias (F,).

    References
    ----------
    Howard et al., "MobileNets", 2017.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Set the group; create weights and bias."""
        if not self.settings.HasField("group"):
            self.settings.group = bottom[0].shape[self.axis(self.settings.axis, bottom[0])]
        super().setup(bottom, top)


@register("ConvolutionDepthwise")
class ConvolutionDepthwise(DepthwiseConvolution):
    """Convolve each channel with learned filters of its own: DepthwiseConvolution's other name.

    Shapes: x (N, C, *S) -> y (N, F, *S')

    Notes
    -----
    As DepthwiseConvolution. The name of this layer in farmingyard's and soeaver's Caffe.

    Parameters: weights (F, C / group, *kernel), then bias (F,).
    """
