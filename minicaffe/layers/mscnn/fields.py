"""Settings that the layers of MS-CNN share: fields, means and deviations of boxes."""

from __future__ import annotations

from typing import Protocol, cast

from minicaffe.blob import Blob
from minicaffe.layers.base import Layer
from minicaffe.ops.mscnn.fields import NO_DEVIATIONS, NO_MEANS, Field, Four
from minicaffe.schema import LayerParameter

LABEL_CHANNELS = 6


class FieldSettings(Protocol):
    """The fields of a message of a layer of one map."""

    field_h: int
    field_w: int
    downsample_rate: int
    field_xyr: float
    field_whr: float
    cls_num: int
    coord_num: int


def means_and_deviations(layer: Layer) -> tuple[Four, Four]:
    """Return the numbers of bbox_reg_param, which normalise boxes, or raise a NetError."""
    proto = layer.param.bbox_reg_param
    if not proto.bbox_mean or not proto.bbox_std:
        return NO_MEANS, NO_DEVIATIONS
    layer.require(
        len(proto.bbox_mean) == len(proto.bbox_std) == 4 and min(proto.bbox_std) > 0,
        f"bbox_reg_param needs 4 times bbox_mean and bbox_std, the latter above 0; there are "
        f"{len(proto.bbox_mean)} and {len(proto.bbox_std)}",
    )
    return cast(Four, tuple(proto.bbox_mean)), cast(Four, tuple(proto.bbox_std))


def make_field(layer: Layer, size: tuple[int, int, int], limits: tuple[float, float]) -> Field:
    """Return the field of a map, or raise a NetError.

    Parameters
    ----------
    layer : Layer
    size : tuple of int
        field_h, field_w, downsample_rate.
    limits : tuple of float
        field_xyr, field_whr.
    """
    layer.require(
        min(size) > 0 and limits[0] > 0 and limits[1] > 1,
        f"field_h, field_w, downsample_rate {size} and field_xyr {limits[0]:g} must be above 0, "
        f"field_whr {limits[1]:g} above 1",
    )
    return Field(*size, *limits)


def field_of(layer: Layer, proto: FieldSettings) -> Field:
    """Return the field of a layer of one map, or raise a NetError."""
    size = proto.field_h, proto.field_w, proto.downsample_rate
    return make_field(layer, size, (proto.field_xyr, proto.field_whr))


def ignored_label(param: LayerParameter) -> int | None:
    """Return the label that is ignored."""
    proto = param.loss_param
    return int(proto.ignore_label) if proto.HasField("ignore_label") else None


def require_map_and_labels(layer: Layer, x: Blob, labels: Blob, proto: FieldSettings) -> None:
    """Raise a ShapeError unless the map has classes and boxes, and labels for each cell."""
    layer.require(proto.coord_num == 4, f"coord_num: {proto.coord_num} must be 4: x, y, w, h")
    channels = proto.cls_num + proto.coord_num
    layer.require_shape(
        len(x.shape) == 4 and x.shape[1] == channels and proto.cls_num > 1,
        f'bottom "{x.name}" must be (N, {channels}, H, W), cls_num: {proto.cls_num} classes, at '
        f"least 2, and 4 coordinates; it is {x.shape}",
    )
    layer.require_shape(
        labels.shape == (x.shape[0], LABEL_CHANNELS, *x.shape[2:]),
        f'bottom "{labels.name}" must be (N, {LABEL_CHANNELS}, H, W) with N, H and W of '
        f'"{x.name}" {x.shape}: class, x, y, w, h, IoU; it is {labels.shape}',
    )
