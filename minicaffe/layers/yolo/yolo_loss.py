"""Base of the losses of YOLO: settings of anchors, checks of the bottoms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from minicaffe.layers.base import Blobs, Layer, P
from minicaffe.layers.loss import LossLayer
from minicaffe.ops.backend import Op
from minicaffe.ops.yolo.region_loss import Anchors, YoloLossKernel
from minicaffe.schema.minicaffe_pb2 import LayerParameter

# Class, center, size.
TRUTH_VALUES = 5


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
        super().reshape(bottom, top)
        x, labels = bottom
        channels = self.channels()
        self.require_shape(
            len(x.shape) == 4 and x.shape[1] == channels,
            f'bottom "{x.name}" must be (N, {channels}, H, W), it is {x.shape}',
        )
        self.require_shape(
            labels.shape and labels.count % (max(labels.shape[0], 1) * TRUTH_VALUES) == 0,
            f'bottom "{labels.name}" must have rows of class, x, y, w, h, it is {labels.shape}',
        )
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
