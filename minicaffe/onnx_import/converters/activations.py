"""Converters of functions of one variable."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minicaffe.onnx_import.registry import converter
from minicaffe.onnx_import.writer import NetWriter

# Operators with a layer that has no settings.
_PLAIN = {
    "Relu": "ReLU",
    "Sigmoid": "Sigmoid",
    "Tanh": "TanH",
    "Abs": "AbsVal",
    "Exp": "Exp",
    "Log": "Log",
    "Softplus": "BNLL",
}
# Operators that are a power: exponent and factor.
_POWERS = {"Neg": (1.0, -1.0), "Sqrt": (0.5, 1.0), "Reciprocal": (-1.0, 1.0)}


def ends(writer: NetWriter) -> tuple[str, str]:
    """Return the blobs of the first input and the first output of the current node."""
    return writer.bottom(writer.node.inputs[0]), writer.top(writer.node.outputs[0])


def power(
    writer: NetWriter,
    source: str,
    target: str,
    settings: Mapping[str, float] | None = None,
    suffix: str = "",
) -> None:
    """Add a layer that computes (shift + scale x) ** power; settings as in power_param."""
    layer = writer.add("Power", [source], [target], suffix=suffix)
    for name, value in (settings or {}).items():
        setattr(layer.power_param, name, value)


@converter(*_PLAIN)
def _plain(writer: NetWriter) -> None:
    source, target = ends(writer)
    writer.add(_PLAIN[writer.node.op], [source], [target])


@converter(*_POWERS)
def _fixed_power(writer: NetWriter) -> None:
    exponent, factor = _POWERS[writer.node.op]
    source, target = ends(writer)
    power(writer, source, target, {"power": exponent} if exponent != 1 else {"scale": factor})


@converter("Pow")
def _pow(writer: NetWriter) -> None:
    exponent = writer.floats(1)
    writer.require(exponent.size == 1, "exponents that differ between values have no layer")
    source, target = ends(writer)
    power(writer, source, target, {"power": float(exponent.ravel()[0])})


@converter("LeakyRelu")
def _leaky_relu(writer: NetWriter) -> None:
    source, target = ends(writer)
    layer = writer.add("ReLU", [source], [target])
    layer.relu_param.negative_slope = writer.node.attributes.get("alpha", 0.01)


@converter("Elu")
def _elu(writer: NetWriter) -> None:
    source, target = ends(writer)
    layer = writer.add("ELU", [source], [target])
    layer.elu_param.alpha = writer.node.attributes.get("alpha", 1.0)


@converter("PRelu")
def _prelu(writer: NetWriter) -> None:
    slope, shape = writer.floats(1), writer.shape(writer.node.inputs[0])
    aligned = (1,) * (len(shape) - slope.ndim) + slope.shape
    is_by_channel = aligned == (1, shape[1], *(1,) * (len(shape) - 2))
    writer.require(
        slope.size == 1 or is_by_channel, f"slopes of shape {slope.shape} are not one a channel"
    )
    source, target = ends(writer)
    layer = writer.add("PReLU", [source], [target], [slope.ravel()])
    if slope.size == 1 and shape[1] != 1:
        layer.prelu_param.channel_shared = True


@converter("Clip")
def _clip(writer: NetWriter) -> None:
    limits = [
        float(writer.floats(k).ravel()[0])
        if writer.has(k)
        else writer.node.attributes.get(name, default)
        for k, name, default in ((1, "min", -np.inf), (2, "max", np.inf))
    ]
    source, target = ends(writer)
    add_clip(writer, source, target, limits[0], limits[1])


def add_clip(writer: NetWriter, source: str, target: str, low: float, high: float) -> None:
    """Add layers that limit values; without Clip, or with one limit, they are ReLUs."""
    largest = float(np.finfo(np.float32).max)
    has_low, has_high = low > -largest, high < largest
    if has_low and has_high and writer.dialect.has_clip:
        layer = writer.add("Clip", [source], [target])
        layer.clip_param.min, layer.clip_param.max = low, high
        return
    if not has_low and not has_high:
        power(writer, source, target)
        return
    if has_low and not has_high:
        _at_least(writer, source, target, low)
        return
    if has_low:
        source, before = writer.temporary("low"), source
        _at_least(writer, before, source, low)
    # min(x, high) = x - max(x - high, 0)
    excess = writer.temporary("excess")
    power(writer, source, excess, {"shift": -high}, "shift")
    writer.add("ReLU", [excess], [excess], suffix="relu")
    layer = writer.add("Eltwise", [source, excess], [target], suffix="min")
    layer.eltwise_param.coeff.extend([1, -1])


def _at_least(writer: NetWriter, source: str, target: str, low: float) -> None:
    """Add layers for max(x, low)."""
    if low == 0:
        writer.add("ReLU", [source], [target])
        return
    above = writer.temporary("above")
    power(writer, source, above, {"shift": -low}, "shift")
    writer.add("ReLU", [above], [above], suffix="relu")
    power(writer, above, target, {"shift": low}, "back")


@converter("HardSigmoid", "HardSwish")
def _hard_sigmoid(writer: NetWriter) -> None:
    is_swish = writer.node.op == "HardSwish"
    alpha = 1 / 6 if is_swish else writer.node.attributes.get("alpha", 0.2)
    beta = 0.5 if is_swish else writer.node.attributes.get("beta", 0.5)
    source, target = ends(writer)
    line = writer.temporary("line")
    power(writer, source, line, {"scale": alpha, "shift": beta}, "line")
    gate = writer.temporary("gate") if is_swish else target
    add_clip(writer, line, gate, 0.0, 1.0)
    if is_swish:
        layer = writer.add("Eltwise", [source, gate], [target], suffix="product")
        layer.eltwise_param.operation = type(layer.eltwise_param).PROD


@converter("Softmax", "LogSoftmax")
def _softmax(writer: NetWriter) -> None:
    node = writer.node
    shape = writer.shape(node.inputs[0])
    axis = node.attributes.get("axis", 1 if writer.graph.opset < 13 else -1) % len(shape)
    source, target = ends(writer)
    # Before opset 13 all axes from this one on are one.
    joins = writer.graph.opset < 13 and int(np.prod(shape[axis + 1 :])) != 1
    flat = (*shape[:axis], int(np.prod(shape[axis:])))
    if joins:
        source, before = writer.temporary("flat"), source
        writer.reshape(before, source, shape, flat)
    result = writer.temporary("softmax") if joins or node.op == "LogSoftmax" else target
    layer = writer.add("Softmax", [source], [result])
    if axis != 1:
        layer.softmax_param.axis = axis
    if node.op == "LogSoftmax":
        result, before = writer.temporary("log") if joins else target, result
        writer.add("Log", [before], [result], suffix="log")
    if joins:
        writer.reshape(result, target, flat, shape)


@converter("Dropout", "Identity")
def _identity(writer: NetWriter) -> None:
    writer.alias(writer.node.outputs[0], writer.bottom(writer.node.inputs[0]))


@converter("Cast")
def _cast(writer: NetWriter) -> None:
    is_float = writer.node.attributes["to"] in (1, 10, 11, 16)  # of the four widths
    writer.require(is_float, "values that are not floating-point numbers")
    _identity(writer)
