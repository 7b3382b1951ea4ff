"""Windows over clips: C3D gives one size for frames and one for rows and columns."""

from __future__ import annotations

from typing import TypeAlias

from minicaffe.layers.base import Layer
from minicaffe.layers.window import Window
from minicaffe.ops.backend import Shape
from minicaffe.schema.forks_pb2 import Convolution3DParameter, Pooling3DParameter

ClipParameter: TypeAlias = Convolution3DParameter | Pooling3DParameter


def clip_window(layer: Layer, proto: ClipParameter) -> Window:
    """Return the window over (frames, rows, columns).

    Raises
    ------
    NetError
        If kernel_depth or kernel_size is missing, or a size or a stride is 0.
    """
    kernel, stride, pad = _sizes(proto)
    layer.require(
        min(kernel) > 0, "kernel_depth and kernel_size must both be set, and be at least 1"
    )
    layer.require(min(stride) > 0, "stride and temporal_stride must be at least 1")
    return Window(kernel, stride, pad, (1, 1, 1))


def clip_window_text(proto: ClipParameter) -> str:
    """Return a window as kernel / stride + pad, as (frames, rows, columns)."""
    kernel, stride, pad = ("x".join(map(str, sizes)) for sizes in _sizes(proto))
    return (
        kernel
        + ("" if stride == "1x1x1" else f" / {stride}")
        + ("" if pad == "0x0x0" else f" + {pad}")
    )


def _sizes(proto: ClipParameter) -> tuple[Shape, Shape, Shape]:
    """Return kernel, stride and pad; pooling has no temporal_pad."""
    frames_pad = proto.temporal_pad if isinstance(proto, Convolution3DParameter) else 0
    return (
        (proto.kernel_depth, proto.kernel_size, proto.kernel_size),
        (proto.temporal_stride, proto.stride, proto.stride),
        (frames_pad, proto.pad, proto.pad),
    )
