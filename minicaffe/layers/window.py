"""Sliding windows: kernel, stride, pad and dilation of convolution, pooling and im2col.

Each is given once for all axes, once per axis, or (2-D only) as _h and _w, as in Caffe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from minicaffe.layers.base import Layer
from minicaffe.ops.backend import Shape
from minicaffe.schema.minicaffe_pb2 import ConvolutionParameter, PoolingParameter

WindowParameter: TypeAlias = ConvolutionParameter | PoolingParameter
WindowLayer: TypeAlias = Layer[WindowParameter]


@dataclass(frozen=True)
class Window:
    """A window's plain numbers, one per spatial axis (rows, columns, ...)."""

    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    @classmethod
    def of(cls, layer: WindowLayer, n_axes: int) -> Window:
        """Read the window of a layer's settings.

        Parameters
        ----------
        layer : Layer
            For its settings, and for messages.
        n_axes : int
            Number of spatial axes.

        Raises
        ------
        NetError
            If a field is missing, given twice or out of range.
        """
        proto = layer.settings
        window = cls(
            kernel=_read(layer, proto, "kernel_size", "kernel", n_axes, None),
            stride=_read(layer, proto, "stride", "stride", n_axes, 1),
            pad=_read(layer, proto, "pad", "pad", n_axes, 0),
            dilation=_read(layer, proto, "dilation", "", n_axes, 1),
        )
        layer.require(min(window.kernel, default=1) > 0, "kernel_size must be at least 1")
        layer.require(min(window.stride, default=1) > 0, "stride must be at least 1")
        layer.require(min(window.dilation, default=1) > 0, "dilation must be at least 1")
        return window

    def extent(self) -> Shape:
        """Return the number of rows, columns, ... that the window spans, dilation included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def positions(self, layer: Layer, name: str, image: Shape) -> Shape:
        """Return the number of window positions in the padded image, by axis.

        A window that exceeds the padded image by less than a stride has one position, because
        Caffe's integer division rounds towards zero.

        Parameters
        ----------
        layer : Layer
            For messages.
        name : str
            Of the bottom, for messages.
        image : tuple of int
            Size of the image without padding.

        Raises
        ------
        ShapeError
            If it has none.
        """
        spans = zip(image, self.pad, self.extent(), self.stride, strict=True)
        sizes = tuple(int((n + 2 * p - extent) / s) + 1 for n, p, extent, s in spans)
        layer.require_shape(
            min(sizes, default=1) > 0,
            f'bottom "{name}" has images of {image}; a kernel of {self.kernel} with dilation '
            f"{self.dilation} and pad {self.pad} does not fit into them: it may exceed them by "
            f"less than a stride of {self.stride}. Set a smaller kernel_size or a larger pad.",
        )
        return sizes


def _read(
    layer: Layer, proto: WindowParameter, field: str, stem: str, n_axes: int, default: int | None
) -> Shape:
    pair = (f"{stem}_h", f"{stem}_w")
    has_pair = bool(stem) and any(proto.HasField(name) for name in pair)
    values = _values(proto, field)
    if has_pair:
        layer.require(not values, f"give {field} or {pair[0]} and {pair[1]}, not both")
        layer.require(n_axes == 2, f"{pair[0]} and {pair[1]} are for 2-D images, not {n_axes}-D")
        both = all(proto.HasField(name) for name in pair) or default is not None
        layer.require(both, f"{pair[0]} and {pair[1]} go together")
        # If one of pad_h, pad_w is unset, it is 0; so is one of stride_h, stride_w, which is an
        # error.
        return tuple(int(getattr(proto, name)) for name in pair)
    if not values and default is not None:
        return (default,) * n_axes
    layer.require(values, f"{field} (or {stem}_h and {stem}_w) is missing")
    layer.require(
        len(values) in (1, n_axes),
        f"{field} is given {len(values)} times; give it once, or once for each of the "
        f"{n_axes} spatial axes",
    )
    return values * n_axes if len(values) == 1 else values


def _values(proto: WindowParameter, field: str) -> Shape:
    """Return a field's values, whether it is repeated (convolution) or single (pooling)."""
    if field not in proto.DESCRIPTOR.fields_by_name:
        return ()
    value = getattr(proto, field)
    if isinstance(value, int):
        return (value,) if proto.HasField(field) else ()
    return tuple(int(v) for v in value)


def window_text(proto: WindowParameter) -> str:
    """Return a window as kernel / stride + pad, without stride and pad at their defaults."""
    kernel = _given(proto, "kernel_size", "kernel")
    stride, pad = _given(proto, "stride", "stride"), _given(proto, "pad", "pad")
    return (
        "x".join(map(str, kernel if len(kernel) > 1 else kernel * 2))
        + ("" if set(stride) <= {1} else f" / {_joined(stride)}")
        + ("" if set(pad) <= {0} else f" + {_joined(pad)}")
    )


def _given(proto: WindowParameter, field: str, stem: str) -> Shape:
    """Return a size as the prototxt gives it: once, for each axis, or as _h and _w; () if unset."""
    pair = (f"{stem}_h", f"{stem}_w")
    if any(proto.HasField(name) for name in pair):
        return tuple(getattr(proto, name) for name in pair)
    return _values(proto, field)


def _joined(sizes: Shape) -> str:
    return "x".join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1]))


def require_group(layer: Layer, name: str, channels: tuple[int, int], group: int) -> None:
    """Raise a NetError unless `group` divides the channels of bottom `name` and num_output."""
    layer.require(group > 0, "group must be at least 1")
    fitting = [g for g in range(1, math.gcd(*channels) + 1) if not any(n % g for n in channels)]
    choices = f"one of {', '.join(map(str, fitting[:12]))}" if len(fitting) > 1 else "1"
    layer.require(
        channels[0] % group == 0,
        f'bottom "{name}" has {channels[0]} channels; group: {group} must divide it. '
        f"Set group to {choices}.",
    )
    layer.require(
        channels[1] % group == 0,
        f"group: {group} must divide num_output: {channels[1]}. Set group to {choices}.",
    )
