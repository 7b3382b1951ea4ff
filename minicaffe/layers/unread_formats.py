"""Settings of quantization_param that nothing reads."""

from __future__ import annotations

from collections.abc import Iterator

from minicaffe.schema.minicaffe_pb2 import QuantizationParameter

# So many bits stand for numbers that are not rounded.
FLOAT_BITS = 32
_ACTIVATIONS = ("layer_in", "layer_out")
_OF_INTEL = ("scale_in", "scale_out", "is_negative_input", "force_u8_input")


def unread_formats(proto: QuantizationParameter, kind: str, has_weights: bool) -> Iterator[str]:
    """Yield a sentence about each setting that changes nothing.

    Parameters
    ----------
    proto : QuantizationParameter
    kind : str
        The layer's type.
    has_weights : bool
        Whether layers of this type have weights.
    """
    read = _read_fields(proto, has_weights)
    for field, _ in proto.ListFields():
        if field.name not in read:
            reason = _reason(proto, field.name, kind, has_weights)
            yield f"quantization_param.{field.name} has no effect{reason}"


def _read_fields(proto: QuantizationParameter, has_weights: bool) -> set[str]:
    """Return the fields that have an effect."""
    read = {"precision", "rounding_scheme"}
    if proto.precision == QuantizationParameter.MINIFLOAT:
        return read | {"mant_bits", "exp_bits"}
    for name in _ACTIVATIONS:
        read |= _pair(proto, f"bw_{name}", f"fl_{name}")
    if not has_weights:
        return read
    if proto.precision == QuantizationParameter.INTEGER_POWER_OF_2_WEIGHTS:
        return read | {"exp_min", "exp_max"}
    scales = _pair(proto, "bw_params", "scale_params")
    return read | scales | _pair(proto, "bw_params", "fl_params")


def _pair(proto: QuantizationParameter, bits: str, grid: str) -> set[str]:
    """Return both fields of a grid of integers if both are set, and no field otherwise.

    A field with the number of bits of floats counts as read: it asks for nothing.
    """
    if getattr(proto, bits) == FLOAT_BITS:
        return {bits}
    return {bits, grid} if getattr(proto, grid) else set()


def _reason(proto: QuantizationParameter, field: str, kind: str, has_weights: bool) -> str:
    if field in _OF_INTEL:
        return ": grids of bottoms and tops are fl_layer_in and fl_layer_out here. Remove it."
    stem = field.partition("_")[2]
    is_integers = proto.precision == QuantizationParameter.DYNAMIC_FIXED_POINT
    if not has_weights and field in ("bw_params", "fl_params", "scale_params"):
        return f": layers of type {kind} have no weights. Remove it."
    if field.startswith(("fl_", "scale_")) and _has_grid(proto, stem):
        return f" without bw_{stem} below {FLOAT_BITS}. Set it, or remove both."
    if field.startswith("bw_") and _has_grid(proto, stem):
        grid = "fl_params or scale_params" if is_integers and stem == "params" else f"fl_{stem}"
        return f" without {grid}. Set it, or remove both."
    precision = QuantizationParameter.Precision.Name(proto.precision)
    return f" with precision: {precision}. Remove it."


def _has_grid(proto: QuantizationParameter, stem: str) -> bool:
    """Return whether the number format has integers for these tensors."""
    if stem in _ACTIVATIONS:
        return proto.precision != QuantizationParameter.MINIFLOAT
    return proto.precision == QuantizationParameter.DYNAMIC_FIXED_POINT
