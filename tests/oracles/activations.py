"""Elementwise activation functions."""

import math

import numpy as np


def each(function):
    """Make an oracle that applies function(settings of the layer, x) to every number."""

    def oracle(layer, bottoms, params, training):
        apply = np.vectorize(lambda x: function(layer, float(x)), otypes=[float])
        return [apply(bottoms[0])]

    return oracle


def base(proto):
    return math.e if proto.base == -1 else proto.base


def linear(proto, x):
    return proto.scale * x + proto.shift


def swish(layer, x):
    return x / (1 + math.exp(-layer.swish_param.beta * x))


def relu6(layer, x):
    return min(x if x > 0 else layer.relu6_param.negative_slope * x, 6)


def selu(layer, x):
    return 1.050700987 * (x if x > 0 else 1.67326324 * (math.exp(x) - 1))


ORACLES = {
    "AbsVal": each(lambda layer, x: abs(x)),
    "BNLL": each(lambda layer, x: math.log(1 + math.exp(x))),
    "Clip": each(lambda layer, x: min(max(x, layer.clip_param.min), layer.clip_param.max)),
    "ELU": each(lambda layer, x: x if x > 0 else layer.elu_param.alpha * (math.exp(x) - 1)),
    "Exp": each(lambda layer, x: base(layer.exp_param) ** linear(layer.exp_param, x)),
    "HardSigmoid": each(lambda layer, x: min(max(0.2 * x + 0.5, 0), 1)),
    "Log": each(lambda layer, x: math.log(linear(layer.log_param, x), base(layer.log_param))),
    "Mish": each(lambda layer, x: x * math.tanh(math.log(1 + math.exp(x)))),
    "NegReLU": each(lambda layer, x: x if x < 0 else layer.relu_param.negative_slope * x),
    "Power": each(lambda layer, x: linear(layer.power_param, x) ** layer.power_param.power),
    "ReLU": each(lambda layer, x: x if x > 0 else layer.relu_param.negative_slope * x),
    "ReLU6": each(relu6),
    "SELU": each(selu),
    "SeLu": each(selu),
    "Sigmoid": each(lambda layer, x: 1 / (1 + math.exp(-x))),
    "Swish": each(swish),
    "TanH": each(lambda layer, x: math.tanh(x)),
    "Threshold": each(lambda layer, x: float(x > layer.threshold_param.threshold)),
}
