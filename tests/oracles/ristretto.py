"""Layers of Ristretto: those of Caffe, on numbers that are rounded to nearest."""

import math

import numpy as np

from oracles.conv import convolution, deconvolution
from oracles.inner_product import inner_product
from oracles.lrn import ORACLES as OF_LRN

FIXED_POINT, MINIFLOAT, POWERS_OF_TWO = range(3)


def rounded(values, rule):
    """Apply a function of one number to each; None leaves them as they are."""
    if rule is None:
        return values
    return np.array([rule(float(v)) for v in np.ravel(values)]).reshape(np.shape(values))


def integer(v, scale, low, high):
    """Return the nearest number among low / scale, ..., high / scale."""
    return max(low, min(high, round(v * scale))) / scale  # Python rounds half to even


def fixed_point(bits, lengths):
    if bits == 32 or not lengths:
        return None
    return lambda v: integer(v, 2.0 ** lengths[0], -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def minifloat(proto):
    bias = 2 ** (proto.exp_bits - 1) - 1
    largest_exponent = 2**proto.exp_bits - 1 - bias
    ulps = 2**proto.mant_bits

    def rule(v):
        if v == 0:
            return 0.0
        exponent = math.floor(math.log2(abs(v)))
        if exponent < -bias:
            return 0.0
        mantissa = round(abs(v) / 2.0**exponent * ulps)
        largest = (2 * ulps - 1) / ulps * 2.0**largest_exponent
        return math.copysign(min(mantissa / ulps * 2.0**exponent, largest), v)

    return rule


def power_of_two(proto):
    def rule(v):
        exponent = proto.exp_min if v == 0 else round(math.log2(abs(v)))
        return (-1 if v < 0 else 1) * 2.0 ** max(proto.exp_min, min(proto.exp_max, exponent))

    return rule


def rounded_weights(layer, params, output_axis):
    proto = layer.quantization_param
    if proto.precision == MINIFLOAT:
        return [rounded(values, minifloat(proto)) for values in params]
    if proto.precision == POWERS_OF_TWO:
        return [rounded(params[0], power_of_two(proto)), *params[1:]]
    if not proto.scale_params:
        rule = fixed_point(proto.bw_params, proto.fl_params)
        return [rounded(values, rule) for values in params]
    weights, largest = np.moveaxis(params[0], output_axis, 0), 2 ** (proto.bw_params - 1) - 1
    scales = list(proto.scale_params) * (1 if len(proto.scale_params) > 1 else len(weights))
    slices = [
        rounded(w, lambda v, s=scale: integer(v, s, -largest, largest))
        for w, scale in zip(weights, scales, strict=True)
    ]
    return [np.moveaxis(np.array(slices), 0, output_axis), *params[1:]]


def rounding(oracle, output_axis):
    """Return the oracle of a layer in the TEST phase."""

    def quantized(layer, bottoms, params, training):
        assert not training
        proto = layer.quantization_param
        if proto.precision == MINIFLOAT:
            of_bottoms = of_tops = minifloat(proto)
        else:
            of_bottoms = fixed_point(proto.bw_layer_in, proto.fl_layer_in)
            of_tops = fixed_point(proto.bw_layer_out, proto.fl_layer_out)
        weights = rounded_weights(layer, params, output_axis(layer)) if params else params
        tops = oracle(layer, [rounded(x, of_bottoms) for x in bottoms], weights, training)
        return [rounded(y, of_tops) for y in tops]

    return quantized


ORACLES = {
    "ConvolutionRistretto": rounding(convolution, lambda layer: 0),
    "DeconvolutionRistretto": rounding(
        deconvolution, lambda layer: int(layer.convolution_param.group == 1)
    ),
    "FcRistretto": rounding(inner_product, lambda layer: int(layer.inner_product_param.transpose)),
    "LRNRistretto": rounding(OF_LRN["LRN"], None),
}
