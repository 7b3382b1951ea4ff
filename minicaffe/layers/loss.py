"""Base of the loss layers: check of labels, shape () of the loss, normalisation."""

from __future__ import annotations

import math
from typing import ClassVar, cast

from minicaffe.blob import Blob
from minicaffe.layers.base import Arity, Blobs, Layer, P
from minicaffe.ops.softmax import Normalization
from minicaffe.schema import LayerParameter


class LossLayer(Layer[P]):
    """A layer whose first top is the loss, a single number.

    The net writes the loss weight into the top's diff, where backward reads it.
    """

    role = "loss"
    bottoms: ClassVar[Arity] = 2
    automatic_tops = 1
    loss_weight = 1.0
    without_gradient: tuple[int, ...] = (1,)

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter | None:
        """Return None, or the layer of the probabilities that the loss computes on the way."""
        return None

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the loss its shape: ()."""
        self.require_shape(
            bottom[0].shape[:1] == bottom[1].shape[:1],
            f'bottoms "{bottom[0].name}" {bottom[0].shape} and "{bottom[1].name}" '
            f"{bottom[1].shape} must have the same number of samples",
        )
        top[0].reshape(())


class NormalizedLossLayer(LossLayer[P]):
    """Base of losses that read loss_param: the ignored label and the normaliser."""

    shared_fields = ("loss_param",)

    def normalization(self) -> Normalization:
        """Return the kind of normaliser, also from the old field `normalize`; or the number."""
        proto = self.param.loss_param
        if proto.normalization == type(proto).PRE_FIXED:
            fixed = proto.pre_fixed_normalizer
            self.require(
                fixed > 0, f"loss_param: pre_fixed_normalizer: {fixed:g} must be more than 0"
            )
            return float(fixed)
        if proto.HasField("normalize") and not proto.HasField("normalization"):
            return "valid" if proto.normalize else "batch_size"
        return cast(Normalization, type(proto).NormalizationMode.Name(proto.normalization).lower())

    def ignore_label(self) -> int | None:
        """Return the label that is ignored."""
        proto = self.param.loss_param
        return int(proto.ignore_label) if proto.HasField("ignore_label") else None


def require_labels(layer: Layer, scores: Blob, labels: Blob, axis: int) -> None:
    """Raise a ShapeError unless there is a label for every pixel of the scores."""
    pixels = math.prod(scores.shape[:axis]) * math.prod(scores.shape[axis + 1 :])
    layer.require_shape(
        pixels == labels.count,
        f'bottom "{scores.name}" {scores.shape} with classes along axis {axis} needs {pixels} '
        f'labels; bottom "{labels.name}" {labels.shape} has {labels.count}',
    )


def require_label_each(layer: Layer, x: Blob, labels: Blob) -> None:
    """Raise a ShapeError unless there is one label per sample."""
    layer.require_shape(
        x.shape and labels.count == x.shape[0],
        f'bottom "{x.name}" {x.shape} needs one label a sample; bottom "{labels.name}" '
        f"{labels.shape} has {labels.count}",
    )


def probability_layer(param: LayerParameter, kind: str, top: str) -> LayerParameter:
    """Return a layer of type `kind` on the scores of a loss, with its name."""
    layer = LayerParameter(name=param.name, type=kind, top=[top])
    layer.bottom.extend(param.bottom[:1])
    return layer
