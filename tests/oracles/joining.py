"""Concat, Slice, Tile, Crop and Reshape."""

import itertools
import math

import numpy as np


def joint_axis(proto, old_field, x):
    axis = getattr(proto, old_field) if proto.HasField(old_field) else proto.axis
    return axis % x.ndim


def concat(layer, bottoms, params, training):
    axis = joint_axis(layer.concat_param, "concat_dim", bottoms[0])
    shape = list(bottoms[0].shape)
    shape[axis] = sum(x.shape[axis] for x in bottoms)
    y, start = np.zeros(shape), 0
    for x in bottoms:
        for index in np.ndindex(*x.shape):
            y[(*index[:axis], index[axis] + start, *index[axis + 1 :])] = x[index]
        start += x.shape[axis]
    return [y]


def cut(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.slice_param
    axis = joint_axis(proto, "slice_dim", x)
    n, size = len(layer.top), x.shape[axis]
    edges = [0, *proto.slice_point, size]
    if not proto.slice_point:
        edges = [size // n * i for i in range(n + 1)]
    tops = []
    for first, end in itertools.pairwise(edges):
        y = np.zeros((*x.shape[:axis], end - first, *x.shape[axis + 1 :]))
        for index in np.ndindex(*y.shape):
            y[index] = x[(*index[:axis], index[axis] + first, *index[axis + 1 :])]
        tops.append(y)
    return tops


def tile(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.tile_param
    axis = proto.axis % x.ndim
    y = np.zeros((*x.shape[:axis], x.shape[axis] * proto.tiles, *x.shape[axis + 1 :]))
    for index in np.ndindex(*y.shape):
        y[index] = x[(*index[:axis], index[axis] % x.shape[axis], *index[axis + 1 :])]
    return [y]


def crop(layer, bottoms, params, training):
    (x, reference), proto = bottoms, layer.crop_param
    first = proto.axis % x.ndim
    given = list(proto.offset) or [0]
    offsets = given * (x.ndim - first) if len(given) == 1 else given
    y = np.zeros((*x.shape[:first], *reference.shape[first:]))
    for index in np.ndindex(*y.shape):
        moved = [i + o for i, o in zip(index[first:], offsets, strict=True)]
        y[index] = x[(*index[:first], *moved)]
    return [y]


def reshape(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.reshape_param
    first = proto.axis if proto.axis >= 0 else x.ndim + proto.axis + 1
    end = x.ndim if proto.num_axes == -1 else first + proto.num_axes
    sizes = [d or x.shape[first + i] for i, d in enumerate(proto.shape.dim)]
    if -1 in sizes:
        known = -math.prod(sizes)
        sizes[sizes.index(-1)] = math.prod(x.shape[first:end]) // known
    return [x.reshape(*x.shape[:first], *sizes, *x.shape[end:])]


ORACLES = {"Concat": concat, "Slice": cut, "Tile": tile, "Crop": crop, "Reshape": reshape}
