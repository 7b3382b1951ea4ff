"""Functions of one number."""

import math

import numpy as np


def each(function):
    """Make an oracle that applies function(settings of the layer, x) to every number."""

    def oracle(layer, bottoms, params, training):
        apply = np.vectorize(lambda x: function(layer, float(x)), otypes=[float])
        return [apply(bottoms[0])]

    return oracle


ORACLES = {
    "ReLU": each(lambda layer, x: x if x > 0 else layer.relu_param.negative_slope * x),
    "Sigmoid": each(lambda layer, x: 1 / (1 + math.exp(-x))),
    "TanH": each(lambda layer, x: math.tanh(x)),
}
