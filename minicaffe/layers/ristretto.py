"""Layers of Ristretto, which compute in simulated small numbers."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.convolution import Convolution
from minicaffe.layers.deconvolution import Deconvolution
from minicaffe.layers.inner_product import InnerProduct
from minicaffe.layers.lrn import LRN
from minicaffe.layers.quantized import QuantizedLayer
from minicaffe.layers.registry import register
from minicaffe.schema.minicaffe_pb2 import (
    ConvolutionParameter,
    InnerProductParameter,
    LRNParameter,
)


@register("ConvolutionRistretto")
class ConvolutionRistretto(QuantizedLayer[ConvolutionParameter], Convolution):
    """Convolve with numbers rounded to a few bits: quantised weights, bottoms and tops (Ristretto).

    Shapes: x (N, C, *S) -> y (N, F, *S')

    Notes
    -----
    As Convolution, on rounded copies q(w) of weights and bias. In TEST, bottoms are read as q(x),
    and y is q of the result. quantization_param says what is rounded: in fixed point, tensors
    whose bits (bw_params, bw_layer_in, bw_layer_out) are below 32 and whose fractional bits
    (fl_params, fl_layer_in, fl_layer_out) are set. With b bits and f fractional bits
    q(v) = clip(round(2^f v), -2^(b-1), 2^(b-1) - 1) / 2^f, half to even. With scale_params instead
    of fl_params q(w) = clip(round(s w), 1 - 2^(b-1), 2^(b-1) - 1) / s, with one s or one for each
    output channel, and the bias stays in floats. MINIFLOAT rounds mantissas to mant_bits,
    INTEGER_POWER_OF_2_WEIGHTS weights to powers of two from 2^exp_min to 2^exp_max.

    In TRAIN only weights and bias are rounded, stochastically: q(v) = floor(2^f v + u) / 2^f, u
    uniform in [0, 1), drawn anew in each pass. The gradient passes straight through all roundings:
    dx from q(w), and dw, db for the full-precision parameters, which the solver updates and
    snapshots keep.

    Parameters: weights (F, C / group, *kernel), then bias (F,).

    Differs from Caffe: Ristretto's layer overwrote its bottoms with q(x), which other layers that
    read these then read; here they read x. Ristretto rounded tensors of 32 bits as well, to 2^-16
    by default, and on CPUs half away from zero, without rounding bottoms and tops of
    INTEGER_POWER_OF_2_WEIGHTS. A minifloat that would round to a number above the largest is the
    largest.

    References
    ----------
    Gysel et al., "Ristretto: a framework for empirical study of resource-efficient inference in
    convolutional neural networks", 2018.
    """

    def output_axis(self) -> int:
        """Return 0: the filters' axis."""
        return 0


@register("DeconvolutionRistretto")
class DeconvolutionRistretto(QuantizedLayer[ConvolutionParameter], Deconvolution):
    """Apply a transposed convolution with numbers rounded to a few bits (Ristretto).

    Shapes: x (N, C, *S) -> y (N, F, *S')

    Notes
    -----
    As Deconvolution, with the roundings of ConvolutionRistretto. With more than one group,
    scale_params may be one for each output channel only if a group has one channel (C = F = group).

    Parameters: weights (C, F / group, *kernel), then bias (F,).
    """

    def output_axis(self) -> int | None:
        """Return the axis that counts the output channels of all groups."""
        channels, outputs = self.blobs[0].shape[:2]
        group = self.settings.group
        if group == 1:
            return 1
        return 0 if outputs == 1 and channels == group else None


@register("FcRistretto")
class FcRistretto(QuantizedLayer[InnerProductParameter], InnerProduct):
    """Apply a fully connected layer with numbers rounded to a few bits (Ristretto).

    Shapes: x (M..., K...) -> y (M..., num_output)

    Notes
    -----
    As InnerProduct, with the roundings of ConvolutionRistretto.

    Parameters: weights (num_output, K), or (K, num_output) with transpose, then bias (num_output,).
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Refuse what scales the weights, then set up."""
        self.require(
            not self.settings.normalize,
            "normalize: true cannot be combined with rounded weights; use type InnerProduct",
        )
        super().setup(bottom, top)

    def output_axis(self) -> int:
        """Return the axis of num_output."""
        return 1 if self.settings.transpose else 0


@register("LRNRistretto")
class LRNRistretto(QuantizedLayer[LRNParameter], LRN):
    """Apply local response normalisation (LRN) to numbers rounded to a few bits (Ristretto).

    Shapes: x (N, C, H, W) -> y (N, C, H, W)

    Notes
    -----
    As LRN; in TEST, bottom and top are rounded as in ConvolutionRistretto.

    Differs from Caffe: Ristretto's layer knew MINIFLOAT only, and rounded each sum and product
    inside the layer too, also in TRAIN.
    """

    has_weights = False
