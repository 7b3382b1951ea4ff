"""Layers that copy values without changing them."""

import math


def flatten(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.flatten_param
    first, last = proto.axis % x.ndim, proto.end_axis % x.ndim
    joined = math.prod(x.shape[first : last + 1])
    return [x.reshape(*x.shape[:first], joined, *x.shape[last + 1 :])]


def dropout(layer, bottoms, params, training):
    proto = layer.dropout_param
    return [bottoms[0] * (1 if training or proto.scale_train else 1 - proto.dropout_ratio)]


ORACLES = {
    # While testing only: while training they are random.
    "Dropout": dropout,
    "SeLuDropout": lambda layer, bottoms, params, training: [bottoms[0]],
    "SpatialDropout": lambda layer, bottoms, params, training: [bottoms[0]],
    "Flatten": flatten,
    "Silence": lambda layer, bottoms, params, training: [],
    "Split": lambda layer, bottoms, params, training: [bottoms[0]] * len(layer.top),
}
