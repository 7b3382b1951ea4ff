"""Elementwise operations, reductions and ArgMax."""

import math

import numpy as np


def eltwise(layer, bottoms, params, training):
    proto, y = layer.eltwise_param, np.zeros(bottoms[0].shape)
    coefficients = list(proto.coeff) or [1] * len(bottoms)
    for at in np.ndindex(*y.shape):
        values = [x[at] for x in bottoms]
        if proto.operation == proto.SUM:
            y[at] = sum(c * v for c, v in zip(coefficients, values, strict=True))
        else:
            y[at] = math.prod(values) if proto.operation == proto.PROD else max(values)
    return [y]


def reduction(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.reduction_param
    axis = proto.axis % x.ndim
    y = np.zeros(x.shape[:axis])
    for index in np.ndindex(*x.shape):
        value = x[index]
        terms = {proto.ASUM: abs(value), proto.SUMSQ: value * value}
        y[index[:axis]] += proto.coeff * terms.get(proto.operation, value)
    if proto.operation == proto.MEAN:
        y /= math.prod(x.shape[axis:])
    return [y]


def largest(values, k):
    """Return the k largest values with their indices, from the largest down."""
    return sorted(((v, i) for i, v in enumerate(values)), reverse=True)[:k]


def arg_max(layer, bottoms, params, training):
    x, proto = bottoms[0], layer.argmax_param
    k = proto.top_k
    if proto.HasField("axis"):
        lines = np.moveaxis(x, proto.axis, -1)
        y = np.zeros((*lines.shape[:-1], k))
        for at in np.ndindex(*y.shape[:-1]):
            y[at] = [v if proto.out_max_val else i for v, i in largest(lines[at], k)]
        return [np.moveaxis(y, -1, proto.axis)]
    y = np.zeros((len(x), 1 + proto.out_max_val, k, *[1] * (x.ndim - 3)))
    for n, sample in enumerate(x):
        for j, (value, place) in enumerate(largest(sample.ravel(), k)):
            y[n, 0, j] = place
            if proto.out_max_val:
                y[n, 1, j] = value
    return [y]


ORACLES = {"Eltwise": eltwise, "Reduction": reduction, "ArgMax": arg_max}
