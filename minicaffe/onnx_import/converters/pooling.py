"""Converters of pooling."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from minicaffe.onnx_import.registry import converter
from minicaffe.onnx_import.window import OnnxWindow, take_padding
from minicaffe.onnx_import.writer import Floats, NetWriter
from minicaffe.schema.minicaffe_pb2 import PoolingParameter


@converter("GlobalMaxPool", "GlobalAveragePool")
def _global_pool(writer: NetWriter) -> None:
    node = writer.node
    pool = PoolingParameter.MAX if node.op == "GlobalMaxPool" else PoolingParameter.AVE
    layer = writer.add("Pooling", [writer.bottom(node.inputs[0])], [writer.top(node.outputs[0])])
    layer.pooling_param.pool = pool
    layer.pooling_param.global_pooling = True


@converter("ReduceMean", "ReduceMax")
def _reduce(writer: NetWriter) -> None:
    node = writer.node
    shape, axes = writer.shape(node.inputs[0]), writer.integer_list(1, "axes")
    spatial = set(range(2, len(shape)))
    writer.require(
        axes is not None and len(spatial) and {a % len(shape) for a in axes} == spatial,
        f"the axes {axes} are not all spatial axes, as global pooling has them",
    )
    keeps = bool(node.attributes.get("keepdims", 1))
    source = writer.bottom(node.inputs[0])
    top = writer.top(node.outputs[0])
    pooled = top if keeps else writer.temporary("pooled")
    layer = writer.add("Pooling", [source], [pooled])
    is_max = node.op == "ReduceMax"
    layer.pooling_param.pool = PoolingParameter.MAX if is_max else PoolingParameter.AVE
    layer.pooling_param.global_pooling = True
    if not keeps:
        writer.add("Flatten", [pooled], [top], suffix="flatten")


@converter("MaxPool")
def _max_pool(writer: NetWriter) -> None:
    writer.require(len(writer.node.outputs) == 1, "the second output (Indices) is not written")
    source = writer.node.inputs[0]
    writer.require(
        source not in writer.paddings, "a Pad node before it pads with 0, pooling with -infinity"
    )
    window = OnnxWindow.of(writer, writer.node.attributes["kernel_shape"])
    _add_pooling(writer, source, window, is_max=True)


@converter("AveragePool")
def _average_pool(writer: NetWriter) -> None:
    own = OnnxWindow.of(writer, writer.node.attributes["kernel_shape"])
    source, window = take_padding(writer, own)
    counts_pads = bool(writer.node.attributes.get("count_include_pad", 0))
    writer.require(
        source == writer.node.inputs[0] or counts_pads or not any((*own.before, *own.after)),
        "a Pad node before it counts and its own pads do not",
    )
    if source != writer.node.inputs[0]:
        counts_pads = True
    sizes = writer.shape(source)[2:]
    pooling = _add_pooling(writer, source, window, is_max=False)
    caffes = _outer(
        [_caffe_divisors(pooling.window, axis, size, n) for axis, size, n in pooling.axes(sizes)]
    )
    onnx = _outer(
        [
            _onnx_divisors(window, axis, size, n, counts_pads)
            for axis, size, n in pooling.axes(sizes)
        ]
    )
    if not np.array_equal(caffes, onnx):
        # Caffe divides by another number of pixels at the borders.
        layer = writer.add("Scale", [pooling.top], [pooling.top], [caffes / onnx], "borders")
        layer.scale_param.axis = 2
        layer.scale_param.num_axes = len(sizes)


def _outer(vectors: list[Floats]) -> Floats:
    out = vectors[0]
    for vector in vectors[1:]:
        out = out[..., None] * vector
    return out


def _caffe_divisors(window: OnnxWindow, axis: int, size: int, n: int) -> Floats:
    """Return for each output along an axis how many pixels Caffe divides by."""
    start = np.arange(n) * window.strides[axis] - window.before[axis]
    end = np.minimum(start + window.kernel[axis], size + window.before[axis])
    return np.asarray(end - start, np.float32)


def _onnx_divisors(window: OnnxWindow, axis: int, size: int, n: int, counts_pads: bool) -> Floats:
    """Return for each output along an axis how many pixels ONNX divides by."""
    start = np.arange(n) * window.strides[axis] - window.before[axis]
    end = start + window.kernel[axis]
    if counts_pads:
        return np.asarray(np.minimum(end, size + window.after[axis]) - start, np.float32)
    return np.asarray(np.minimum(end, size) - np.maximum(start, 0), np.float32)


class _Pooling(NamedTuple):
    """A layer that was added: its top, its window, and its outputs along each axis."""

    top: str
    window: OnnxWindow
    n_outputs: list[int]

    def axes(self, sizes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return index, size of the image, and number of outputs of each axis."""
        return [(k, size, n) for k, (size, n) in enumerate(zip(sizes, self.n_outputs, strict=True))]


def _add_pooling(writer: NetWriter, source: str, window: OnnxWindow, is_max: bool) -> _Pooling:
    """Add a layer."""
    writer.require(set(window.dilations) == {1}, "Caffe's pooling has no dilations")
    sizes = writer.shape(source)[2:]
    ceil = bool(writer.node.attributes.get("ceil_mode", 0))
    wanted = [_onnx_size(window, axis, size, ceil) for axis, size in enumerate(sizes)]
    window = _without_pads_at_end(window, sizes, wanted)
    up, down = (
        [_caffe_size(window, axis, size, rounds_up) for axis, size in enumerate(sizes)]
        for rounds_up in (True, False)
    )
    for pad, kernel in zip(window.before, window.kernel, strict=True):
        writer.require(pad < kernel, f"pad {pad} is not smaller than the kernel {kernel}")
    top = writer.top(writer.node.outputs[0])
    is_cut = wanted != up and (wanted != down or not writer.dialect.floor)
    writer.require(
        not is_cut or all(a <= b for a, b in zip(wanted, up, strict=True)),
        f"pads {window.before} and {window.after}: no window of Caffe gives the size {wanted}",
    )
    pooled = writer.temporary("pooled") if is_cut else top
    layer = writer.add("Pooling", [writer.bottom(source)], [pooled])
    settings = layer.pooling_param
    settings.pool = PoolingParameter.MAX if is_max else PoolingParameter.AVE
    _set_pooling_window(writer, settings, window)
    if is_cut:
        _cut(writer, pooled, top, up, wanted)
    elif wanted != up:
        writer.dialect.round_down(settings)
    return _Pooling(top, window, wanted)


def _without_pads_at_end(
    window: OnnxWindow, sizes: tuple[int, ...], wanted: list[int]
) -> OnnxWindow:
    """Return a window that ends with the image on axes where it is the only one."""
    kernel = [
        min(k, size + pad) if n == 1 else k
        for k, size, pad, n in zip(window.kernel, sizes, window.before, wanted, strict=True)
    ]
    return replace(window, kernel=kernel)


def _cut(writer: NetWriter, source: str, top: str, sizes: list[int], wanted: list[int]) -> None:
    """Cut images that are too large at their ends: the dialect cannot round down."""
    axes = [k for k, (a, b) in enumerate(zip(sizes, wanted, strict=True)) if a != b]
    for axis in axes:
        kept = top if axis == axes[-1] else writer.temporary("cut")
        rest = writer.temporary("rest")
        layer = writer.add("Slice", [source], [kept, rest], suffix="cut")
        layer.slice_param.axis = axis + 2
        layer.slice_param.slice_point.append(wanted[axis])
        writer.add("Silence", [rest], [], suffix="rest")
        source = kept


def _set_pooling_window(writer: NetWriter, settings: PoolingParameter, window: OnnxWindow) -> None:
    for name, values, default in (
        ("kernel", window.kernel, None),
        ("stride", window.strides, 1),
        ("pad", window.before, 0),
    ):
        if len(set(values)) == 1:
            if values[0] != default:
                setattr(settings, "kernel_size" if name == "kernel" else name, values[0])
        else:
            writer.require(len(values) == 2, f"{name} {values}: only images may have unequal sizes")
            setattr(settings, f"{name}_h", values[0])
            setattr(settings, f"{name}_w", values[1])


def _onnx_size(window: OnnxWindow, axis: int, size: int, ceil: bool) -> int:
    kernel, stride = window.kernel[axis], window.strides[axis]
    room = size + window.before[axis] + window.after[axis] - kernel
    if not ceil:
        return room // stride + 1
    n = -(-room // stride) + 1
    # A window must not start in the pads at the end.
    return n - 1 if (n - 1) * stride >= size + window.before[axis] else n


def _caffe_size(window: OnnxWindow, axis: int, size: int, rounds_up: bool) -> int:
    stride, pad = window.strides[axis], window.before[axis]
    room = size + 2 * pad - window.kernel[axis]
    n = (-(-room // stride) if rounds_up else room // stride) + 1
    return n - 1 if any(window.before) and (n - 1) * stride >= size + pad else n
