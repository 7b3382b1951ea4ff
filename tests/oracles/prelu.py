"""Parametric ReLU."""

import numpy as np


def prelu(layer, bottoms, params, training):
    x, slopes = bottoms[0], params[0]
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        slope = slopes[index[1]] if slopes.ndim else float(slopes)
        y[index] = x[index] if x[index] > 0 else slope * x[index]
    return [y]


def rrelu(layer, bottoms, params, training):
    """While testing: while training it is random."""
    proto, x = layer.rrelu_param, bottoms[0]
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = x[index] if x[index] > 0 else x[index] / ((proto.lb + proto.ub) / 2)
    return [y]


ORACLES = {"PReLU": prelu, "RReLU": rrelu}
