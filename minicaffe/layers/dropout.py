"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, InPlaceEffect, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.dropout import Dropout as DropoutOp
from minicaffe.ops.layout import Copy
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import DropoutParameter


@register("Dropout")
class Dropout(Layer[DropoutParameter]):
    """Set random values to zero in the TRAIN phase; copy the bottom in the TEST phase.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = x * mask / (1 - dropout_ratio), where mask is 0 with probability dropout_ratio, else 1; the
    same mask multiplies the gradient. The mask depends only on the random seed, the layer's name
    and the number of earlier passes. A ratio of 0 keeps all values.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    in_place = True
    reads_bottoms = False

    @property
    def in_place_effect(self) -> InPlaceEffect:
        """Scaled or zero values while training; the gradient of a zero is zero."""
        return "magnitudes" if self.is_training else "nothing"

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the ratio."""
        return f"{param.dropout_param.dropout_ratio:g}"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the ratio."""
        ratio = self.settings.dropout_ratio
        self.require(
            0 <= ratio < 1,
            f"dropout_ratio: {ratio:g} is not the share of values that become 0; it must be at "
            "least 0 and less than 1",
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        top[0].reshape(bottom[0].shape)
        x, y = bottom[0].data, top[0].data
        if self.is_training:
            self.kernel = self.plan(DropoutOp(self.settings.dropout_ratio), x, y)
        else:
            self.copy = self.plan(Copy(), x, y)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        if self.is_training:
            self.kernel.forward(bottom[0].data, top[0].data, self.stream("mask"))
        elif bottom[0] is not top[0]:
            self.copy.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if not propagate_down[0]:
            return
        if self.is_training:
            self.kernel.backward(top[0].diff, bottom[0].diff)
        elif bottom[0] is not top[0]:
            self.copy.forward(top[0].diff, bottom[0].diff)
