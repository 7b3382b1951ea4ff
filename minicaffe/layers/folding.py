"""Folding of normalisation into the products before it: what it means for each layer type.

In the TEST phase a BatchNorm, Scale, Bias, BN or Power layer computes y = a x + b in each channel.
A Convolution, Deconvolution or InnerProduct layer computes the same if its weights are multiplied
by a and its bias is a bias + b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicaffe.layers.batch_norm_with_scale import BatchNormWithScale
from minicaffe.ops.backend import Shape
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import BNParameter
from minicaffe.schema.minicaffe_pb2 import ConvolutionParameter, InnerProductParameter

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Arrays = Sequence[npt.NDArray[np.floating]]


class ChannelAffine(NamedTuple):
    """The function y = factor x + shift in each channel.

    The arrays are float64, with one value a channel or one for all of them.
    """

    factor: Doubles
    shift: Doubles

    def then(self, later: ChannelAffine) -> ChannelAffine:
        """Return the function that computes this one, and `later` of its values."""
        return ChannelAffine(self.factor * later.factor, later.factor * self.shift + later.shift)


class NotFoldable(Exception):
    """A layer cannot be folded; the message is the reason."""


def is_affine(param: LayerParameter) -> bool:
    """Return whether a layer is of a kind that computes an affine function of each channel."""
    return param.type in _AFFINE and param.power_param.power == 1


def is_product(param: LayerParameter) -> bool:
    """Return whether a type of layer multiplies by weights, into which others can be folded."""
    return param.type in _PRODUCTS


def has_parameters(param: LayerParameter) -> bool:
    """Return whether `affine_of` and `fold` need the parameters of a layer."""
    return param.type in _PRODUCTS or (param.type != "Power" and len(param.bottom) == 1)


def affine_of(param: LayerParameter, blobs: Arrays) -> ChannelAffine:
    """Return the function that a layer computes in the TEST phase.

    Parameters
    ----------
    param : LayerParameter
        A layer for which `is_affine` holds.
    blobs : sequence of ndarray
        Its parameters, as in a weights file.

    Raises
    ------
    NotFoldable
        If it computes another function.
    """
    if len(param.bottom) != 1 or len(param.top) != 1:
        raise NotFoldable("it has several bottoms or tops")
    flat = [np.asarray(blob, np.float64).ravel() for blob in blobs]
    return _AFFINE[param.type](param, flat)


def require_foldable(param: LayerParameter, affine: ChannelAffine) -> None:
    """Raise NotFoldable, unless `fold` can fold a function into a layer.

    Parameters
    ----------
    param : LayerParameter
        A layer for which `is_product` holds.
    affine : ChannelAffine
        Of the layers that follow.
    """
    settings = getattr(param, _PRODUCTS[param.type].field)
    n, channels = settings.num_output, max(affine.factor.size, affine.shift.size)
    if getattr(settings, "axis", 1) != 1:
        raise NotFoldable(f"axis: {settings.axis} of the layer before it is not 1")
    if param.inner_product_param.normalize:
        raise NotFoldable("normalize: true of the layer before it changes the weights")
    if channels not in (1, n):
        raise NotFoldable(f"it has {channels} channels, the layer before it {n}")


def fold(param: LayerParameter, blobs: Arrays, affine: ChannelAffine) -> list[Floats]:
    """Return weights and bias with which a layer computes `affine` of its output as well.

    The arrays are read-only, as those from a weights file.

    Parameters
    ----------
    param : LayerParameter
        A layer that `require_foldable` accepts; its setting bias_term becomes true.
    blobs : sequence of ndarray
        Its parameters, as in a weights file.
    affine : ChannelAffine
        Of the layers that follow.
    """
    product, weights = _PRODUCTS[param.type], blobs[0]
    settings = getattr(param, product.field)
    settings.bias_term = True
    factor = np.broadcast_to(affine.factor, settings.num_output)
    shape, factor_shape = product.shapes(settings, weights.shape)
    folded = np.empty(shape, np.float32)
    # Computes in double precision, without a copy of the weights in it.
    by_channel = factor.reshape(factor_shape)
    np.multiply(weights.reshape(shape), by_channel, out=folded, casting="same_kind")
    bias = np.asarray(blobs[1], np.float64) if len(blobs) > 1 else np.zeros(factor.shape)
    new_bias = (factor * bias + affine.shift).astype(np.float32)
    folded.flags.writeable = new_bias.flags.writeable = False
    return [folded.reshape(weights.shape), new_bias]


def _batch_norm(param: LayerParameter, blobs: Sequence[Doubles]) -> ChannelAffine:
    settings = param.batch_norm_param
    if settings.HasField("use_global_stats") and not settings.use_global_stats:
        raise NotFoldable("use_global_stats: false takes the statistics of the batch")
    if BatchNormWithScale.is_meant(settings):
        return _batch_norm_with_scale(param, blobs)
    mean, variance, weight = blobs
    per_weight = _inverse(weight)
    factor = 1 / np.sqrt(variance * per_weight + settings.eps)
    return ChannelAffine(factor, -mean * per_weight * factor)


def _inverse(weight: Doubles) -> float:
    return 0.0 if weight[0] == 0 else float(1 / weight[0])


def _batch_norm_with_scale(param: LayerParameter, blobs: Sequence[Doubles]) -> ChannelAffine:
    order = BatchNormWithScale.order_in_file([blob.shape for blob in blobs])
    mean, variance, weight, scale, shift = (blobs[order.index(k)] for k in range(5))
    form, _, eps = BatchNormWithScale.statistics_of(param.batch_norm_param)
    per_weight = 1.0 if form == "started" else _inverse(weight)
    factor = scale / np.sqrt(variance * per_weight + eps)
    return ChannelAffine(factor, shift - mean * per_weight * factor)


def _scale(param: LayerParameter, blobs: Sequence[Doubles]) -> ChannelAffine:
    settings = param.scale_param
    _require_channels(settings.axis, settings.num_axes)
    shift = blobs[1] if settings.bias_term else np.zeros_like(blobs[0])
    return ChannelAffine(blobs[0], shift)


def _bias(param: LayerParameter, blobs: Sequence[Doubles]) -> ChannelAffine:
    settings = param.bias_param
    _require_channels(settings.axis, settings.num_axes)
    return ChannelAffine(np.ones_like(blobs[0]), blobs[0])


def _power(param: LayerParameter, blobs: Sequence[Doubles]) -> ChannelAffine:
    settings = param.power_param
    return ChannelAffine(np.array([settings.scale]), np.array([settings.shift]))


def _require_channels(axis: int, num_axes: int) -> None:
    if num_axes and (axis, num_axes) != (1, 1):
        raise NotFoldable(f"axis: {axis} and num_axes: {num_axes} are not those of the channels")


def _bn(param: LayerParameter, blobs: Sequence[Doubles]) -> ChannelAffine:
    settings = param.bn_param
    if settings.bn_mode == BNParameter.INFERENCE and settings.HasField("bn_mode"):
        return ChannelAffine(blobs[0], blobs[1])
    if len(blobs) != 4:
        raise NotFoldable("bn_mode: LEARN takes the statistics of the batch")
    if settings.fourth_blob == BNParameter.INVERSE_DEVIATION:
        factor = blobs[0] * blobs[3]
    else:
        factor = blobs[0] / np.sqrt(blobs[3] + settings.eps)
    return ChannelAffine(factor, blobs[1] - blobs[2] * factor)


class _Product(NamedTuple):
    """A type of layer that multiplies by weights.

    `shapes` takes the settings, in the field of this name, and the shape of the weights. It returns
    a shape for the weights, and the shape in which a factor for each output channel is broadcast
    over them.
    """

    field: str
    shapes: Callable[..., tuple[Shape, Shape]]


def _convolution(settings: ConvolutionParameter, shape: Shape) -> tuple[Shape, Shape]:
    return shape, (-1, *(1,) * (len(shape) - 1))


def _deconvolution(settings: ConvolutionParameter, shape: Shape) -> tuple[Shape, Shape]:
    inputs, outputs, *kernel = shape
    by_group = (settings.group, inputs // settings.group, outputs, *kernel)
    return by_group, (settings.group, 1, outputs, *(1,) * len(kernel))


def _inner_product(settings: InnerProductParameter, shape: Shape) -> tuple[Shape, Shape]:
    return shape[-2:], (1, -1) if settings.transpose else (-1, 1)


_AFFINE: dict[str, Callable[[LayerParameter, Sequence[Doubles]], ChannelAffine]] = {
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "Bias": _bias,
    "BN": _bn,
    "Power": _power,
}
_PRODUCTS = {
    "Convolution": _Product("convolution_param", _convolution),
    "DepthwiseConvolution": _Product("convolution_param", _convolution),
    "ConvolutionDepthwise": _Product("convolution_param", _convolution),
    "Convolution3D": _Product("convolution3d_param", _convolution),
    "Deconvolution": _Product("convolution_param", _deconvolution),
    "Deconvolution3D": _Product("convolution3d_param", _deconvolution),
    "InnerProduct": _Product("inner_product_param", _inner_product),
}
