"""Folding of normalisation into the products before it: what it means for each layer type.

In the TEST phase a BatchNorm, Scale, Bias or BN layer computes y = a x + b in each channel. A
Convolution, Deconvolution or InnerProduct layer computes the same if its weights are multiplied by
a and its bias is a bias + b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicaffe.layers.batch_norm_with_scale import BatchNormWithScale
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import BNParameter

Doubles = npt.NDArray[np.float64]
Arrays = Sequence[npt.NDArray[np.floating]]


class ChannelAffine(NamedTuple):
    """The function y = factor x + shift in each channel; float64 arrays of one value a channel."""

    factor: Doubles
    shift: Doubles


class NotFoldable(Exception):
    """A layer cannot be folded; the message is the reason."""


def is_affine(param: LayerParameter) -> bool:
    """Return whether a type of layer computes an affine function of each channel."""
    return param.type in _AFFINE


def is_product(param: LayerParameter) -> bool:
    """Return whether a type of layer multiplies by weights, into which others can be folded."""
    return param.type in _FOLD


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


def fold(param: LayerParameter, blobs: Arrays, affine: ChannelAffine) -> list[Doubles]:
    """Return weights and bias with which a layer computes `affine` of its output as well.

    Parameters
    ----------
    param : LayerParameter
        A layer for which `is_product` holds; its setting bias_term becomes true.
    blobs : sequence of ndarray
        Its parameters, as in a weights file.
    affine : ChannelAffine
        Of the layer that follows.

    Raises
    ------
    NotFoldable
        If the layer's output channels are not on axis 1, or not those of `affine`.
    """
    weights = np.asarray(blobs[0], np.float64)
    folded = _FOLD[param.type](param, weights, affine.factor)
    bias = np.asarray(blobs[1], np.float64).ravel() if len(blobs) > 1 else 0.0
    return [folded, affine.factor * bias + affine.shift]


def _batch_norm(param: LayerParameter, blobs: Sequence[Doubles]) -> ChannelAffine:
    settings = param.batch_norm_param
    if settings.HasField("use_global_stats") and not settings.use_global_stats:
        raise NotFoldable("use_global_stats: false takes the statistics of the batch")
    if BatchNormWithScale.is_meant(settings) or len(blobs) != 3:
        raise NotFoldable("it is the variant of a fork with a scale of its own")
    mean, variance, weight = blobs
    per_weight = 0.0 if weight[0] == 0 else 1 / weight[0]
    factor = 1 / np.sqrt(variance * per_weight + settings.eps)
    return ChannelAffine(factor, -mean * per_weight * factor)


def _scale(param: LayerParameter, blobs: Sequence[Doubles]) -> ChannelAffine:
    settings = param.scale_param
    _require_channels(settings.axis, settings.num_axes)
    shift = blobs[1] if settings.bias_term else np.zeros_like(blobs[0])
    return ChannelAffine(blobs[0], shift)


def _bias(param: LayerParameter, blobs: Sequence[Doubles]) -> ChannelAffine:
    settings = param.bias_param
    _require_channels(settings.axis, settings.num_axes)
    return ChannelAffine(np.ones_like(blobs[0]), blobs[0])


def _require_channels(axis: int, num_axes: int) -> None:
    if (axis, num_axes) != (1, 1):
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


def _require_outputs(axis: int, outputs: int, factor: Doubles) -> None:
    if axis != 1:
        raise NotFoldable(f"axis: {axis} of the layer before it is not 1")
    if len(factor) != outputs:
        raise NotFoldable(f"it has {len(factor)} channels, the layer before it {outputs}")


def _convolution(param: LayerParameter, weights: Doubles, factor: Doubles) -> Doubles:
    settings = param.convolution_param
    _require_outputs(settings.axis, settings.num_output, factor)
    settings.bias_term = True
    return weights * factor.reshape(-1, *(1,) * (weights.ndim - 1))


def _deconvolution(param: LayerParameter, weights: Doubles, factor: Doubles) -> Doubles:
    settings = param.convolution_param
    _require_outputs(settings.axis, settings.num_output, factor)
    settings.bias_term = True
    inputs, outputs, *kernel = weights.shape
    groups = weights.reshape(settings.group, inputs // settings.group, outputs, *kernel)
    by_group = factor.reshape(settings.group, 1, outputs, *(1,) * len(kernel))
    return (groups * by_group).reshape(weights.shape)


def _inner_product(param: LayerParameter, weights: Doubles, factor: Doubles) -> Doubles:
    settings = param.inner_product_param
    _require_outputs(settings.axis, settings.num_output, factor)
    settings.bias_term = True
    matrix = weights.reshape(weights.shape[-2:])
    return matrix * (factor if settings.transpose else factor[:, None])


_AFFINE: dict[str, Callable[[LayerParameter, Sequence[Doubles]], ChannelAffine]] = {
    "BatchNorm": _batch_norm,
    "Scale": _scale,
    "Bias": _bias,
    "BN": _bn,
}
_FOLD: dict[str, Callable[[LayerParameter, Doubles, Doubles], Doubles]] = {
    "Convolution": _convolution,
    "DepthwiseConvolution": _convolution,
    "ConvolutionDepthwise": _convolution,
    "Deconvolution": _deconvolution,
    "InnerProduct": _inner_product,
}
