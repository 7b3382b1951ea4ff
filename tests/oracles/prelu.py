"""Parametric ReLU."""

import numpy as np


def prelu(layer, bottoms, params, training):
    x, slopes = bottoms[0], params[0]
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        slope = slopes[index[1]] if slopes.ndim else float(slopes)
        y[index] = x[index] if x[index] > 0 else slope * x[index]
    return [y]


def apl(layer, bottoms, params, training):
    x, sums = bottoms[0], layer.apl_param.sums
    slopes, offsets = (p.reshape(-1, sums) for p in params)
    y = np.zeros((len(x), len(slopes)))
    for n, k in np.ndindex(*y.shape):
        value = x[n].ravel()[k]
        hinges = [a * max(b - value, 0) for a, b in zip(slopes[k], offsets[k], strict=True)]
        y[n, k] = max(value, 0) + sum(hinges)
    return [y.reshape(x.shape)]


def rrelu(layer, bottoms, params, training):
    """While testing: while training it is random."""
    proto, x = layer.rrelu_param, bottoms[0]
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = x[index] if x[index] > 0 else x[index] / ((proto.lb + proto.ub) / 2)
    return [y]


ORACLES = {"APL": apl, "PReLU": prelu, "RReLU": rrelu}
