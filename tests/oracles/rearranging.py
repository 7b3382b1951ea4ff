"""Layers that move values without changing them."""

import numpy as np


def flip(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.flip_param
    y = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(*x.shape):
        row = x.shape[2] - 1 - i if proto.flip_height else i
        column = x.shape[3] - 1 - j if proto.flip_width else j
        y[n, c, i, j] = x[n, c, row, column]
    return [y]


def permute(layer, bottoms, params, training):
    x = bottoms[0]
    order = list(layer.permute_param.order)
    order += [axis for axis in range(x.ndim) if axis not in order]
    y = np.zeros([x.shape[axis] for axis in order])
    for index in np.ndindex(*y.shape):
        at = [0] * x.ndim
        for i, axis in enumerate(order):
            at[axis] = index[i]
        y[index] = x[tuple(at)]
    return [y]


def reorg(layer, bottoms, params, training):
    """As darknet: both sides are numbered by the sizes of the bottom."""
    (x,), s = bottoms, layer.reorg_param.stride
    n, c, h, w = x.shape
    reverse, fewer = layer.reorg_param.reverse, c // (s * s)
    size = (n, fewer, h * s, w * s) if reverse else (n, c * s * s, h // s, w // s)
    wide, narrow = (fewer, h * s, w * s), (c, h, w)
    y = np.zeros((n, c * h * w))
    for b in range(n):
        for k, i, j in np.ndindex(c, h, w):
            offset = k // fewer
            at = (k % fewer, i * s + offset // s, j * s + offset % s)
            apart = np.ravel_multi_index(at, wide)
            together = np.ravel_multi_index((k, i, j), narrow)
            source, target = (together, apart) if reverse else (apart, together)
            y[b, target] = x[b].ravel()[source]
    return [y.reshape(size)]


def reverse(layer, bottoms, params, training):
    x, axis = bottoms[0], layer.reverse_param.axis % bottoms[0].ndim
    y = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        at = list(index)
        at[axis] = x.shape[axis] - 1 - at[axis]
        y[index] = x[tuple(at)]
    return [y]


def shuffle_channel(layer, bottoms, params, training):
    x, group = bottoms[0], layer.shuffle_channel_param.group
    y, each = np.zeros(x.shape), x.shape[1] // group
    for g in range(group):
        for c in range(each):
            y[:, c * group + g] = x[:, g * each + c]
    return [y]


ORACLES = {
    "Flip": flip,
    "Permute": permute,
    "Reorg": reorg,
    "Reverse": reverse,
    "ShuffleChannel": shuffle_channel,
}
