"""Converters of operators that multiply by weights, and of normalisation."""

from __future__ import annotations

import numpy as np

from minicaffe.onnx_import.registry import converter
from minicaffe.onnx_import.window import OnnxWindow, take_padding
from minicaffe.onnx_import.writer import Floats, NetWriter
from minicaffe.schema.minicaffe_pb2 import ConvolutionParameter


@converter("Conv")
def _conv(writer: NetWriter) -> None:
    weights = writer.floats(1)
    source, window = take_padding(writer, OnnxWindow.of(writer, weights.shape[2:]))
    _add_convolution(writer, "Convolution", source, weights, window)


@converter("ConvTranspose")
def _conv_transpose(writer: NetWriter) -> None:
    weights = writer.floats(1)
    window = OnnxWindow.of(writer, weights.shape[2:])
    attributes = writer.node.attributes
    extra = attributes.get("output_padding", [0] * len(window.kernel))
    if "output_shape" in attributes:
        writer.refuse("output_shape is not read; export the pads instead")
    after = [e - x for e, x in zip(window.after, extra, strict=True)]
    window = OnnxWindow(window.kernel, window.strides, window.dilations, window.before, after)
    _add_convolution(writer, "Deconvolution", writer.node.inputs[0], weights, window)


def _add_convolution(
    writer: NetWriter, kind: str, source: str, weights: Floats, window: OnnxWindow
) -> None:
    """Add a layer; unequal pads become zeros around the kernel, because Caffe pads both sides."""
    group = writer.node.attributes.get("group", 1)
    pads, around = window.symmetric_pads(writer)
    if any(before or after for before, after in around):
        weights = np.pad(weights, [(0, 0), (0, 0), *around])
    blobs = [weights, writer.floats(2)] if writer.has(2) else [weights]
    layer = writer.add(kind, [writer.bottom(source)], [writer.top(writer.node.outputs[0])], blobs)
    outputs = weights.shape[1] * group if kind == "Deconvolution" else weights.shape[0]
    settings = layer.convolution_param
    settings.num_output = outputs
    if not writer.has(2):
        settings.bias_term = False
    if group != 1:
        settings.group = group
    _set_window(settings, weights.shape[2:], window, pads)


def _set_window(
    settings: ConvolutionParameter, kernel: tuple[int, ...], window: OnnxWindow, pads: list[int]
) -> None:
    """Write one number if all axes agree, kernel_h and the like for two axes, else a list."""
    given = {
        "kernel": [*kernel],
        "stride": window.strides,
        "pad": pads,
        "dilation": window.dilations,
    }
    defaults = {"stride": 1, "pad": 0, "dilation": 1}
    for name, values in given.items():
        field = "kernel_size" if name == "kernel" else name
        if len(set(values)) == 1:
            if values[0] != defaults.get(name):
                getattr(settings, field).append(values[0])
        elif len(values) == 2 and name != "dilation":
            setattr(settings, f"{name}_h", values[0])
            setattr(settings, f"{name}_w", values[1])
        else:
            getattr(settings, field).extend(values)


@converter("Gemm")
def _gemm(writer: NetWriter) -> None:
    attributes = writer.node.attributes
    writer.require(not attributes.get("transA", 0), "transA: 1 has no layer")
    weights = writer.floats(1) if attributes.get("transB", 0) else writer.floats(1).T
    blobs = [weights * np.float32(attributes.get("alpha", 1.0))]
    if writer.has(2):
        bias = writer.floats(2) * np.float32(attributes.get("beta", 1.0))
        writer.require(
            bias.ndim < 2 or bias.shape[0] == 1, f"C of shape {bias.shape} differs between rows"
        )
        blobs.append(np.broadcast_to(bias.ravel(), (len(weights),)))
    _add_inner_product(writer, blobs, 1)


@converter("MatMul")
def _mat_mul(writer: NetWriter) -> None:
    weights = writer.floats(1)
    writer.require(weights.ndim == 2, f"weights of shape {weights.shape} are not a matrix")
    rank = len(writer.shape(writer.node.inputs[0]))
    _add_inner_product(writer, [weights.T], rank - 1)


def _add_inner_product(writer: NetWriter, blobs: list[Floats], axis: int) -> None:
    source = writer.bottom(writer.node.inputs[0])
    layer = writer.add("InnerProduct", [source], [writer.top(writer.node.outputs[0])], blobs)
    layer.inner_product_param.num_output = len(blobs[0])
    if len(blobs) == 1:
        layer.inner_product_param.bias_term = False
    if axis != 1:
        layer.inner_product_param.axis = axis


@converter("BatchNormalization")
def _batch_normalization(writer: NetWriter) -> None:
    node = writer.node
    is_training = node.attributes.get("training_mode", 0)
    writer.require(not is_training, "training_mode: 1; export the model in its inference mode")
    factor, shift, mean, variance = (writer.floats(k) for k in range(1, 5))
    source, top = writer.bottom(node.inputs[0]), writer.top(node.outputs[0])
    layer = writer.add("BatchNorm", [source], [top], [mean, variance, [1.0]])
    layer.batch_norm_param.eps = node.attributes.get("epsilon", 1e-5)
    layer = writer.add("Scale", [top], [top], [factor, shift], "scale")
    layer.scale_param.bias_term = True


@converter("LRN")
def _lrn(writer: NetWriter) -> None:
    node = writer.node
    layer = writer.add("LRN", [writer.bottom(node.inputs[0])], [writer.top(node.outputs[0])])
    settings = layer.lrn_param
    settings.local_size = node.attributes["size"]
    writer.require(settings.local_size % 2, "an even size; Caffe's windows have a centre")
    settings.alpha = node.attributes.get("alpha", 1e-4)
    settings.beta = node.attributes.get("beta", 0.75)
    settings.k = node.attributes.get("bias", 1.0)
