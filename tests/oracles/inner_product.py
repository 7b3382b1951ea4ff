"""Inner product."""

import itertools
import math

import numpy as np


def inner_product(layer, bottoms, params, training):
    proto, x = layer.inner_product_param, bottoms[0]
    axis = proto.axis % x.ndim
    samples = x.reshape(math.prod(x.shape[:axis]), -1)
    w = params[0].T if proto.transpose else params[0]
    if proto.normalize:
        w = np.array([row / math.sqrt(row @ row) for row in w])
    y = np.zeros((len(samples), proto.num_output))
    for m, n in itertools.product(*map(range, y.shape)):
        y[m, n] = params[1][n] if proto.bias_term else 0
        for k in range(samples.shape[1]):
            y[m, n] += w[n, k] * samples[m, k]
    return [y.reshape(*x.shape[:axis], proto.num_output)]


ORACLES = {"InnerProduct": inner_product}
