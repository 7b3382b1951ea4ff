"""quantization_param of Ristretto and Intel: the grid of each tensor of a layer."""

from __future__ import annotations

from dataclasses import dataclass

from minicaffe.layers.base import Layer
from minicaffe.layers.unread_formats import FLOAT_BITS
from minicaffe.ops.quantize import Grid, IntegerGrid, MiniFloat, PowersOfTwo
from minicaffe.schema.minicaffe_pb2 import QuantizationParameter

# The largest power of two, and its reciprocal the smallest, that the fields may name.
_MOST_EXPONENT = 100


@dataclass(frozen=True)
class NumberFormats:
    """The grids of one layer; None where numbers are not rounded.

    Parameters
    ----------
    bottoms, tops, weights, bias : Grid, optional
    is_stochastic : bool
        Whether numbers are rounded up or down at random.
    """

    bottoms: Grid | None
    tops: Grid | None
    weights: Grid | None
    bias: Grid | None
    is_stochastic: bool

    @classmethod
    def of(cls, layer: Layer, output_axis: int | None, outputs: int) -> NumberFormats:
        """Read the settings of a layer whose weights have `outputs` slices along `output_axis`.

        Raises
        ------
        NetError
            If a field has a value, or a number of values, that no grid has.
        """
        proto = layer.param.quantization_param
        weights, bias = _of_parameters(layer, proto, output_axis, outputs)
        if layer.is_training:
            return cls(None, None, weights, bias, is_stochastic=True)
        bottoms, tops = _of_activations(layer, proto)
        is_stochastic = proto.rounding_scheme == QuantizationParameter.STOCHASTIC
        return cls(bottoms, tops, weights, bias, is_stochastic)


def _of_activations(layer: Layer, proto: QuantizationParameter) -> tuple[Grid | None, Grid | None]:
    if proto.precision == QuantizationParameter.MINIFLOAT:
        return (_mini_float(layer, proto),) * 2
    return _fixed_point(layer, proto, "layer_in"), _fixed_point(layer, proto, "layer_out")


def _of_parameters(
    layer: Layer, proto: QuantizationParameter, output_axis: int | None, outputs: int
) -> tuple[Grid | None, Grid | None]:
    if proto.precision == QuantizationParameter.MINIFLOAT:
        return (_mini_float(layer, proto),) * 2
    if proto.precision == QuantizationParameter.INTEGER_POWER_OF_2_WEIGHTS:
        return _powers_of_two(layer, proto), None
    if not proto.scale_params:
        return (_fixed_point(layer, proto, "params"),) * 2
    layer.require(
        not proto.fl_params,
        "quantization_param has fl_params and scale_params, which are two grids for the same "
        "weights; remove one of them",
    )
    return _symmetric(layer, proto, output_axis, outputs), None


def _fixed_point(layer: Layer, proto: QuantizationParameter, name: str) -> Grid | None:
    bits, lengths = getattr(proto, f"bw_{name}"), getattr(proto, f"fl_{name}")
    if bits == FLOAT_BITS or not lengths:
        return None
    _require_bits(layer, f"bw_{name}", bits, 1)
    layer.require(
        len(lengths) == 1,
        f"quantization_param.fl_{name} has {len(lengths)} values; it must have 1",
    )
    _require_exponent(layer, f"fl_{name}", lengths[0])
    return IntegerGrid.fixed_point(bits, lengths[0])


def _symmetric(
    layer: Layer, proto: QuantizationParameter, output_axis: int | None, outputs: int
) -> Grid | None:
    bits, scales = proto.bw_params, tuple(proto.scale_params)
    if bits == FLOAT_BITS:
        return None
    _require_bits(layer, "bw_params", bits, 2)
    counts = "1" if output_axis is None else f"1, or {outputs}: one for each output channel"
    layer.require(
        len(scales) == 1 or (output_axis is not None and len(scales) == outputs),
        f"quantization_param.scale_params has {len(scales)} values; it must have {counts}",
    )
    wrong = [scale for scale in scales if not 0 < scale < float("inf")]
    layer.require(
        not wrong, f"quantization_param.scale_params has {wrong[:1]}; scales must be above 0"
    )
    return IntegerGrid.symmetric(bits, scales, output_axis or 0)


def _mini_float(layer: Layer, proto: QuantizationParameter) -> Grid | None:
    mantissa, exponent = proto.mant_bits, proto.exp_bits
    layer.require(
        mantissa <= 23 and 1 <= exponent <= 8,
        f"quantization_param has mant_bits: {mantissa} and exp_bits: {exponent}; float32 has 23 "
        "and 8, a minifloat at most these and 1 exponent bit at least",
    )
    return None if (mantissa, exponent) == (23, 8) else MiniFloat(mantissa, exponent)


def _powers_of_two(layer: Layer, proto: QuantizationParameter) -> Grid:
    low, high = proto.exp_min, proto.exp_max
    layer.require(
        low <= high, f"quantization_param has exp_min: {low}, which is above exp_max: {high}"
    )
    _require_exponent(layer, "exp_min", low)
    _require_exponent(layer, "exp_max", high)
    return PowersOfTwo(low, high)


def _require_bits(layer: Layer, field: str, bits: int, least: int) -> None:
    layer.require(
        least <= bits <= FLOAT_BITS,
        f"quantization_param.{field}: {bits} is not from {least} to {FLOAT_BITS}",
    )


def _require_exponent(layer: Layer, field: str, exponent: int) -> None:
    layer.require(
        abs(exponent) <= _MOST_EXPONENT,
        f"quantization_param.{field}: {exponent} is not from -{_MOST_EXPONENT} to {_MOST_EXPONENT}",
    )
