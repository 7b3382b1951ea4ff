"""Coordinate maps between blobs, for cropping in fully convolutional nets.

A layer maps coordinates affinely: ``x`` in its bottom is ``a * x + b`` in its top, along each
spatial axis. A map is a triple ``(axis, a, b)``: the first spatial axis (None if the layer has no
axis setting), scale and shift.
"""

from __future__ import annotations

from collections import deque
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from minicaffe.errors import NetError
from minicaffe.net.spec import Function, Top, layers

# Any: settings are integers or floats, and are printed unchanged in error messages.
Numbers: TypeAlias = npt.NDArray[Any] | float
Map: TypeAlias = tuple[int | None, Numbers, Numbers]

PASS_THROUGH_LAYERS = [
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Dropout", "ELU", "Eltwise", "Exp", "LRN", "Log", "MVN",
    "PReLU", "Power", "ReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold",
]  # fmt: skip
_PER_AXIS_FIELDS = ("kernel_h", "kernel_w", "pad_h", "pad_w", "stride_h", "stride_w")
_IDENTITY: Map = (None, 1, 0)


class UndefinedMapException(NetError):
    """A layer whose type has no affine coordinate map."""


class AxisMismatchException(NetError):
    """Layers between two blobs have different first spatial axes."""


class CropError(NetError, AssertionError):
    """Cropping cannot align a blob with another (an AssertionError in pycaffe)."""


def conv_params(fn: Function) -> tuple[int, Numbers, Numbers, Numbers]:
    """Return axis, stride, dilated kernel size and padding of a layer with a sliding window.

    Raises
    ------
    CropError
        If the layer sets kernel_h, pad_w or similar fields, which are not per axis.
    """
    own = fn.params.get("convolution_param", fn.params)
    named = [field for field in _PER_AXIS_FIELDS if field in own]
    if named:
        raise CropError(
            f"{fn.type_name} sets {', '.join(named)}; coordinates need kernel_size, stride and pad"
        )
    size, dilation = _list(own["kernel_size"]), _list(own.get("dilation", 1))
    window = (size - 1) * dilation + 1
    return own.get("axis", 1), _list(own.get("stride", 1)), window, _list(own.get("pad", 0))


def crop_params(fn: Function) -> tuple[int, Numbers]:
    """Return axis and offset of a Crop layer."""
    own = fn.params.get("crop_param", fn.params)
    return own.get("axis", 2), _list(own.get("offset", 0))


def _list(value: npt.ArrayLike) -> npt.NDArray[Any]:
    return np.array(value, ndmin=1)


def coord_map(fn: Function) -> Map:
    """Return the coordinate map of one layer.

    Raises
    ------
    UndefinedMapException
        If its type has no map.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, window, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (window - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, window, pad = conv_params(fn)
        return axis, stride, (window - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException(f"{fn.type_name} layers do not map coordinates")


def compose(base_map: Map, next_map: Map) -> Map:
    """Return the map that applies `next_map` first and `base_map` to its result.

    Raises
    ------
    AxisMismatchException
        If their first spatial axes differ.
    """
    (axis_1, a_1, b_1), (axis_2, a_2, b_2) = base_map, next_map
    if None not in (axis_1, axis_2) and axis_1 != axis_2:
        raise AxisMismatchException(
            f"the first spatial axes {axis_1} and {axis_2} differ; set the same axis in all layers"
        )
    return axis_2 if axis_1 is None else axis_1, a_1 * a_2, a_1 * b_2 + b_1


def inverse(coord_map: Map) -> Map:
    """Return the inverse map."""
    axis, a, b = coord_map
    return axis, 1 / a, -b / a


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """Return the map between two tops of a NetSpec through their nearest common ancestor.

    Raises
    ------
    AxisMismatchException
        If the layers between them have different first spatial axes.
    RuntimeError
        If no layers with coordinate maps connect them.
    """
    from_maps = _maps_below(top_from)
    to_maps = _maps_below(top_to)
    for top, to_map in to_maps.items():
        if top in from_maps:
            return compose(to_map, inverse(from_maps[top]))
    raise NetError("Could not compute map between tops; are they connected by spatial layers?")


def _maps_below(top: Top) -> dict[Top, Map]:
    """Return the maps to `top` from its ancestors, nearest first (breadth-first search)."""
    maps = {top: _IDENTITY}
    frontier = deque([top])
    while frontier:
        current = frontier.popleft()
        inputs = current.fn.inputs
        # Crop takes the values of its first bottom, and only the size of the second.
        bottoms = inputs[:1] if current.fn.type_name == "Crop" else inputs
        try:
            step = coord_map(current.fn) if bottoms else _IDENTITY
        except UndefinedMapException:
            continue
        for bottom in bottoms:
            if bottom not in maps:
                maps[bottom] = compose(maps[current], step)
                frontier.append(bottom)
    return maps


def crop(top_from: Top, top_to: Top) -> Top:
    """Return the top of a Crop layer that aligns `top_from` with the pixels of `top_to`.

    Raises
    ------
    CropError
        If the scales differ, or the offset is negative or not an integer.
    """
    axis, a, b = coord_map_from_to(top_from, top_to)
    if axis is None:
        raise CropError("no layer between the tops has a spatial axis; no crop is needed")
    if not np.all(a == 1):
        raise CropError(f"scale mismatch on crop (a = {a})")
    if not np.all(b <= 0):
        raise CropError(f"cannot crop negative offset (b = {b})")
    if not np.all(np.round(b) == b):
        raise CropError(f"cannot crop noninteger offset (b = {b})")
    offset = [int(value) for value in -np.round(np.atleast_1d(b))]
    crop_param = {"axis": axis + 1, "offset": offset}
    cropped: Top = layers.Crop(top_from, top_to, crop_param=crop_param)
    return cropped
