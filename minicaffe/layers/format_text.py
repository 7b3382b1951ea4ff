"""The grids of quantization_param in a few words."""

from __future__ import annotations

from collections.abc import Iterator

from minicaffe.layers.unread_formats import FLOAT_BITS
from minicaffe.schema.minicaffe_pb2 import QuantizationParameter


def formats_text(proto: QuantizationParameter, has_weights: bool) -> str:
    """Return the bits of what is rounded, "bits w 4, in 8, out 8"; "" if nothing is."""
    if proto.precision == QuantizationParameter.MINIFLOAT:
        bits = 1 + proto.exp_bits + proto.mant_bits
        return f"minifloats of {bits} bits" if bits < FLOAT_BITS else ""
    parts = [*(_of_weights(proto) if has_weights else ()), *_of_activations(proto)]
    return f"bits {', '.join(parts)}" if parts else ""


def _of_weights(proto: QuantizationParameter) -> Iterator[str]:
    if proto.precision == QuantizationParameter.INTEGER_POWER_OF_2_WEIGHTS:
        yield f"w 2^{proto.exp_min} to 2^{proto.exp_max}"
    elif proto.bw_params < FLOAT_BITS and (proto.fl_params or proto.scale_params):
        yield f"w {proto.bw_params}"


def _of_activations(proto: QuantizationParameter) -> Iterator[str]:
    if proto.bw_layer_in < FLOAT_BITS and proto.fl_layer_in:
        yield f"in {proto.bw_layer_in}"
    if proto.bw_layer_out < FLOAT_BITS and proto.fl_layer_out:
        yield f"out {proto.bw_layer_out}"
