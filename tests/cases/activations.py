import math

import numpy as np

from cases.case import Case, Values, normal, off_zero, positive


def case(name, settings, values):
    return Case(name, settings, {"x": values})


def wide(*shape):
    """Values on both sides of 6, and of -2, none near them."""

    def draw(rng, s):
        return np.abs(rng.permutation(math.prod(s)).reshape(s) + 0.5) * 0.3 - 5

    return Values(shape, draw)


CASES = {
    "AbsVal": [case("plain", "", off_zero(3, 5, 7))],
    "BNLL": [case("plain", "", normal(3, 5, 7))],
    "Clip": [
        case(
            "both ends", "clip_param { min: -0.5 max: 0.75 }", off_zero(3, 5, 7, kinks=(-0.5, 0.75))
        )
    ],
    "ELU": [
        case("plain", "", off_zero(3, 5, 7)),
        case("alpha", "elu_param { alpha: 0.3 }", off_zero(3, 5, 7)),
        case("negative alpha", "elu_param { alpha: -0.3 }", off_zero(3, 5, 7)),
    ],
    "Exp": [
        case("natural", "", normal(3, 5, 7)),
        case("base 2", "exp_param { base: 2 scale: -0.5 shift: 0.75 }", normal(3, 5, 7)),
        case("natural, shifted", "exp_param { scale: 0.5 shift: -1 }", normal(3, 5, 7)),
    ],
    "HardSigmoid": [case("plain", "", off_zero(3, 5, 7, kinks=(-2.5, 2.5)))],
    "Log": [
        case("natural", "", positive(3, 5, 7)),
        case("base 10", "log_param { base: 10 scale: 3 shift: 0.5 }", positive(3, 5, 7)),
    ],
    "Mish": [case("plain", "", normal(3, 5, 7))],
    "Power": [
        case("identity", "", normal(3, 5, 7)),
        case("linear", "power_param { scale: -2 shift: 0.5 }", normal(3, 5, 7)),
        case("square", "power_param { power: 2 scale: 0.5 shift: 1.5 }", normal(3, 5, 7)),
        case("root", "power_param { power: 0.5 scale: 2 shift: 0.25 }", positive(3, 5, 7)),
        case("inverse", "power_param { power: -1 }", positive(3, 5, 7)),
        case("constant", "power_param { power: 0 }", normal(3, 5, 7)),
        case("root of 0", "power_param { power: 0.5 scale: 0 shift: 0 }", normal(3, 5, 7)),
        case("square of 3", "power_param { power: 2 scale: 0 shift: 3 }", normal(3, 5, 7)),
        case("zero", "power_param { scale: 0 }", normal(3, 5, 7)),
    ],
    "NegReLU": [
        case("plain", "", off_zero(3, 5, 7)),
        case("leaky", "relu_param { negative_slope: 0.1 }", off_zero(2, 3, 5, 7)),
    ],
    "ReLU": [
        case("plain", "", off_zero(3, 5, 7)),
        case("leaky", "relu_param { negative_slope: 0.1 }", off_zero(2, 3, 5, 7)),
        case("negative slope", "relu_param { negative_slope: -0.5 }", off_zero(3, 5)),
    ],
    "ReLU6": [
        case("plain", "", wide(3, 5, 7)),
        case("leaky", "relu6_param { negative_slope: 0.1 }", wide(2, 3, 5, 7)),
        case("negative slope", "relu6_param { negative_slope: -3 }", wide(3, 5)),
    ],
    "SELU": [case("plain", "", off_zero(3, 5, 7))],
    "SeLu": [case("plain", "", off_zero(3, 5, 7))],
    "Sigmoid": [case("plain", "", normal(3, 5, 7))],
    "Swish": [
        case("plain", "", normal(3, 5, 7)),
        case("beta", "swish_param { beta: 1.75 }", normal(3, 5, 7)),
    ],
    "TanH": [case("plain", "", normal(3, 5, 7))],
    "Threshold": [case("plain", "threshold_param { threshold: 0.25 }", off_zero(3, 5, 7))],
}
