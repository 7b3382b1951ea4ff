"""Converters of sums, products, maxima, between tensors and with constants."""

from __future__ import annotations

import numpy as np

from minicaffe.onnx_import.converters.activations import add_clip, power
from minicaffe.onnx_import.registry import converter
from minicaffe.onnx_import.writer import Floats, NetWriter
from minicaffe.schema.minicaffe_pb2 import EltwiseParameter


@converter("Add", "Sub", "Mul", "Div")
def _binary(writer: NetWriter) -> None:
    constants = [k for k in (0, 1) if writer.is_constant(k)]
    if not constants:
        _of_two_tensors(writer)
        return
    values, op = writer.floats(constants[0]), writer.node.op
    tensor = writer.node.inputs[1 - constants[0]]
    source, target = writer.bottom(tensor), writer.top(writer.node.outputs[0])
    if constants[0] == 0 and op == "Sub":
        source, before = writer.temporary("negative"), source
        power(writer, before, source, {"scale": -1.0}, "negative")
        op = "Add"
    elif constants[0] == 0 and op == "Div":
        source, before = writer.temporary("inverse"), source
        power(writer, before, source, {"power": -1.0}, "inverse")
        op = "Mul"
    if op == "Sub":
        op, values = "Add", -values
    if op == "Div":
        op, values = "Mul", (1 / values.astype(np.float64)).astype(np.float32)
    _with_constant(writer, source, target, tensor, op == "Mul", values)


def _with_constant(
    writer: NetWriter, source: str, target: str, tensor: str, is_product: bool, values: Floats
) -> None:
    """Add a Power, Scale or Bias layer; a bias becomes that of an InnerProduct before it."""
    if values.size == 1:
        writer.require(
            values.ndim <= len(writer.shape(tensor)), "the constant has more axes than the input"
        )
        number = float(values.ravel()[0])
        power(writer, source, target, {"scale" if is_product else "shift": number})
        return
    axis, block = _block(writer, writer.shape(tensor), values)
    if not is_product and _takes_bias(writer, source, tensor, axis, block):
        return
    layer = writer.add("Scale" if is_product else "Bias", [source], [target], [block])
    settings = layer.scale_param if is_product else layer.bias_param
    settings.axis, settings.num_axes = axis, block.ndim


def _block(writer: NetWriter, shape: tuple[int, ...], values: Floats) -> tuple[int, Floats]:
    """Return a constant without leading and trailing axes of 1, and its first axis in the input."""
    writer.require(
        values.ndim <= len(shape), f"a constant of shape {values.shape} enlarges {shape}"
    )
    padded = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    used = [axis for axis, n in enumerate(padded.shape) if n != 1]
    first, last = used[0], used[-1] + 1
    block = padded.reshape(padded.shape[first:last])
    fits = all(b in (1, n) for b, n in zip(block.shape, shape[first:last], strict=True))
    writer.require(fits, f"a constant of shape {values.shape} does not fit {shape}")
    return first, np.broadcast_to(block, shape[first:last])


def _takes_bias(writer: NetWriter, source: str, tensor: str, axis: int, block: Floats) -> bool:
    """Give an InnerProduct without bias, read by this node only, the constant as its bias."""
    layer = writer.param.layer[-1]
    if (
        len(writer.blobs.get(layer.name, [])) != 1
        or list(layer.top) != [source]
        or not layer.HasField("inner_product_param")
        or axis != len(writer.shape(tensor)) - 1
        or writer.graph.n_readers(tensor) != 1
    ):
        return False
    layer.inner_product_param.ClearField("bias_term")
    writer.blobs[layer.name].append(np.array(block))
    layer.top[0] = writer.node.outputs[0]
    return True


def _of_two_tensors(writer: NetWriter) -> None:
    node = writer.node
    shapes = [writer.shape(name) for name in node.inputs]
    if shapes[0] == shapes[1]:
        sources = [writer.bottom(name) for name in node.inputs]
        target = writer.top(node.outputs[0])
        if node.op == "Div":
            inverse = writer.temporary("inverse")
            power(writer, sources[1], inverse, {"power": -1.0}, "inverse")
            sources[1] = inverse
        layer = writer.add("Eltwise", sources, [target])
        if node.op in ("Mul", "Div"):
            layer.eltwise_param.operation = EltwiseParameter.PROD
        if node.op == "Sub":
            layer.eltwise_param.coeff.extend([1, -1])
        return
    writer.require(node.op in ("Mul", "Add"), f"inputs of shapes {shapes[0]} and {shapes[1]}")
    large = 0 if np.prod(shapes[0]) >= np.prod(shapes[1]) else 1
    _broadcast(writer, node.inputs[large], node.inputs[1 - large])


def _broadcast(writer: NetWriter, large: str, small: str) -> None:
    """Add a Scale or Bias layer with two bottoms: the second has the first axes of the first."""
    shape, other = writer.shape(large), writer.shape(small)
    sources = [writer.bottom(large), writer.bottom(small)]
    other = (1,) * (len(shape) - len(other)) + other
    n = max((axis + 1 for axis, size in enumerate(other) if size != 1), default=0)
    n = max(n, 2)
    writer.require(
        shape[:n] == other[:n] and len(writer.shape(small)) == len(shape),
        f"inputs of shapes {shape} and {writer.shape(small)}: Scale needs the first axes equal",
    )
    first = writer.temporary("first")
    writer.reshape(sources[1], first, other, other[:n])
    kind = "Scale" if writer.node.op == "Mul" else "Bias"
    layer = writer.add(kind, [sources[0], first], [writer.top(writer.node.outputs[0])])
    (layer.scale_param if kind == "Scale" else layer.bias_param).axis = 0


@converter("Sum", "Max")
def _of_many(writer: NetWriter) -> None:
    node = writer.node
    constants = [k for k in range(len(node.inputs)) if writer.is_constant(k)]
    if node.op == "Max" and constants and len(node.inputs) == 2:
        _limit(writer, constants[0])
        return
    shapes = {writer.shape(name) for name in node.inputs}
    writer.require(len(shapes) == 1, f"inputs of different shapes {sorted(shapes)}")
    sources = [writer.bottom(name) for name in node.inputs]
    target = writer.top(node.outputs[0])
    if len(sources) == 1:
        power(writer, sources[0], target)
        return
    layer = writer.add("Eltwise", sources, [target])
    if node.op == "Max":
        layer.eltwise_param.operation = EltwiseParameter.MAX


@converter("Min")
def _min(writer: NetWriter) -> None:
    constants = [k for k in range(len(writer.node.inputs)) if writer.is_constant(k)]
    writer.require(
        len(constants) == 1 and len(writer.node.inputs) == 2, "the minimum of tensors has no layer"
    )
    _limit(writer, constants[0])


def _limit(writer: NetWriter, index: int) -> None:
    """Add layers for the maximum or minimum of a tensor and one number."""
    values, node = writer.floats(index), writer.node
    writer.require(values.size == 1, "limits that differ between values have no layer")
    limit = float(values.ravel()[0])
    source, target = writer.bottom(node.inputs[1 - index]), writer.top(node.outputs[0])
    is_max = node.op == "Max"
    add_clip(writer, source, target, limit if is_max else -np.inf, np.inf if is_max else limit)
