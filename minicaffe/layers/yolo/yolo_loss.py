"""Base of the losses of YOLO: settings of anchors, checks of the bottoms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer, P
from minicaffe.layers.loss import LossLayer
from minicaffe.ops.backend import Op
from minicaffe.ops.yolo.region_loss import Anchors, YoloLossKernel
from minicaffe.schema.minicaffe_pb2 import LayerParameter

# Class, center, size.
TRUTH_VALUES = 5
# Image, class + 1, instance, corners, difficult.
ANNOTATION_VALUES = 8


class YoloLossLayer(LossLayer[P]):
    """A loss of one map of predictions; its subclasses name the op."""

    # Fields that the forks accept without effect.
    idle_fields: ClassVar[tuple[str, ...]] = ()
    reads_bottoms = False

    def loss_op(self) -> Op[YoloLossKernel]:
        """Return the op from the settings, or raise a NetError."""
        raise NotImplementedError

    def channels(self) -> int:
        """Return the number of channels of the map."""
        raise NotImplementedError

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        self.op = self.loss_op()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes and plan."""
        x, labels = bottom
        require_predictions(self, x, self.channels())
        top[0].reshape(())
        require_truths(self, x, labels)
        self.kernel = self.plan(self.op, x.data, labels.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the map's diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield a sentence about the fields without effect."""
        yield from super().unread_settings(param)
        proto = getattr(param, cls.param_field)
        if idle := [field for field in cls.idle_fields if proto.HasField(field)]:
            yield f"{', '.join(idle)}: no effect in {cls.type}, as in MobileNet-YOLO."


def require_predictions(layer: Layer, x: Blob, channels: int) -> None:
    """Raise a ShapeError unless the blob is a map of predictions with at least one cell."""
    layer.require_shape(
        len(x.shape) == 4 and x.shape[1] == channels and x.shape[2] * x.shape[3],
        f'bottom "{x.name}" must be (N, {channels}, H, W), it is {x.shape}',
    )


def require_truths(layer: Layer, x: Blob, labels: Blob) -> None:
    """Raise a ShapeError unless the blob has rows of truths for the images of a map."""
    form, n = labels.shape[-1:], x.shape[0]
    layer.require_shape(
        form == (ANNOTATION_VALUES,) or (form == (TRUTH_VALUES,) and labels.shape[0] == n),
        f'bottom "{labels.name}" must be ({n}, ..., 5), rows of class, x, y, w, h for images of '
        f'"{x.name}", or (..., 8), rows of SSD\'s AnnotatedData; it is {labels.shape}',
    )


def anchors_of(layer: Layer, biases: Sequence[float], cell: float = 1.0) -> Anchors:
    """Return the anchors in cells from a list of widths and heights, or raise a NetError.

    Parameters
    ----------
    layer : Layer
    biases : sequence of float
    cell : float
        Size of a cell in the unit of the biases.
    """
    layer.require(
        biases and len(biases) % 2 == 0 and min(biases) > 0,
        f"biases must be widths and heights of anchors above 0, there are {len(biases)} numbers",
    )
    layer.require(cell > 0, f"anchors_scale: {cell:g} must be above 0")
    return tuple((w / cell, h / cell) for w, h in zip(biases[::2], biases[1::2], strict=True))
