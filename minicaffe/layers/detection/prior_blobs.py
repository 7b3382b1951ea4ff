"""Checks of blobs that hold values for each prior box, and of the settings about boxes."""

from __future__ import annotations

import math
from typing import cast

from minicaffe.blob import Blob
from minicaffe.layers.base import Layer
from minicaffe.ops.detection.boxes import CodeType, Suppression
from minicaffe.schema.forks_pb2 import NonMaximumSuppressionParameter, PriorBoxParameter


def count_priors(layer: Layer, prior: Blob) -> int:
    """Return the number of prior boxes in a blob (1, 2, 4 * P).

    Raises
    ------
    ShapeError
        If the blob has another shape.
    """
    shape = prior.shape
    layer.require_shape(
        len(shape) == 3 and shape[:2] == (1, 2) and shape[2] > 0 and shape[2] % 4 == 0,
        f'bottom "{prior.name}" {shape} must be (1, 2, 4 x prior boxes), as PriorBox layers and a '
        "Concat along axis 2 write it",
    )
    return shape[2] // 4


def require_per_prior(layer: Layer, blob: Blob, images: int, priors: int, values: int) -> None:
    """Raise a ShapeError unless a blob holds so many values for each prior box of each image."""
    layer.require_shape(
        blob.shape and blob.shape[0] == images and math.prod(blob.shape[1:]) == priors * values,
        f'bottom "{blob.name}" {blob.shape} must hold {values} values for each of {priors} prior '
        f"boxes in each of {images} images: ({images}, {priors * values})",
    )


def code_type(value: int) -> CodeType:
    """Return the name of a code type as ops spell it."""
    return cast(CodeType, PriorBoxParameter.CodeType.Name(value).lower())


def suppression(layer: Layer, proto: NonMaximumSuppressionParameter) -> Suppression:
    """Return the suppression that nms_param describes."""
    layer.require(
        proto.nms_threshold >= 0, f"nms_threshold: {proto.nms_threshold:g}; it must be 0 or more"
    )
    layer.require(0 < proto.eta <= 1, f"eta: {proto.eta:g}; it must be above 0, and 1 at most")
    top_k = proto.top_k if proto.HasField("top_k") and proto.top_k > -1 else None
    return Suppression(proto.nms_threshold, top_k, proto.eta)
