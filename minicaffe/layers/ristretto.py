"""Layers of Ristretto, which simulates small number formats; here they compute in floats."""

from __future__ import annotations

from minicaffe.layers.convolution import Convolution
from minicaffe.layers.deconvolution import Deconvolution
from minicaffe.layers.inner_product import InnerProduct
from minicaffe.layers.lrn import LRN
from minicaffe.layers.registry import register


@register("ConvolutionRistretto")
class ConvolutionRistretto(Convolution):
    """Convolve the input with learned filters, without Ristretto's rounding of numbers.

    Shapes: x (N, C, *S) -> y (N, F, *S')

    Notes
    -----
    As Convolution: quantization_param has no effect, so that a quantised net has the values of the
    net that it was made of.

    Parameters: weights (F, C / group, *kernel), then bias (F,).

    References
    ----------
    Gysel et al., "Ristretto: a framework for empirical study of resource-efficient inference in
    convolutional neural networks", 2018.
    """

    shared_fields = ("quantization_param",)


@register("DeconvolutionRistretto")
class DeconvolutionRistretto(Deconvolution):
    """Apply a transposed convolution, without Ristretto's rounding of numbers.

    Shapes: x (N, C, *S) -> y (N, F, *S')

    Notes
    -----
    As Deconvolution: quantization_param has no effect.

    Parameters: weights (C, F / group, *kernel), then bias (F,).
    """

    shared_fields = ("quantization_param",)


@register("FcRistretto")
class FcRistretto(InnerProduct):
    """Apply a fully connected layer, without Ristretto's rounding of numbers.

    Shapes: x (M..., K...) -> y (M..., num_output)

    Notes
    -----
    As InnerProduct: quantization_param has no effect.

    Parameters: weights (num_output, K), or (K, num_output) with transpose, then bias (num_output,).
    """

    shared_fields = ("quantization_param",)


@register("LRNRistretto")
class LRNRistretto(LRN):
    """Apply local response normalisation (LRN), without Ristretto's rounding of numbers.

    Shapes: x (N, C, H, W) -> y (N, C, H, W)

    Notes
    -----
    As LRN: quantization_param has no effect.
    """

    shared_fields = ("quantization_param",)
