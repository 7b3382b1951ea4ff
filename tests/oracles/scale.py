"""Broadcast factors and biases."""

import numpy as np


def each(x, other, axis, function):
    """Return function(value, value of `other` at the same place) for every value of x."""
    axis = axis % x.ndim if other.ndim else 0
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = function(x[index], other[index[axis : axis + other.ndim]])
    return y


def scale(layer, bottoms, params, training):
    proto = layer.scale_param
    factor = [*bottoms, *params][1]
    y = each(bottoms[0], factor, proto.axis, lambda value, s: value * s)
    if proto.bias_term:
        y = each(y, params[-1], proto.axis, lambda value, b: value + b)
    return [y]


def bias(layer, bottoms, params, training):
    other = [*bottoms, *params][1]
    return [each(bottoms[0], other, layer.bias_param.axis, lambda value, b: value + b)]


def axpy(layer, bottoms, params, training):
    a, x, z = bottoms
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = a[index[:2]].item() * x[index] + z[index]
    return [y]


def channel_scale(layer, bottoms, params, training):
    x, s = bottoms
    if not layer.channel_scale_param.do_forward:
        return [x]
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = s[(index[0], 0, *index[2:])] * x[index]
    return [y]


ORACLES = {"Scale": scale, "Bias": bias, "Axpy": axpy, "ChannelScale": channel_scale}
