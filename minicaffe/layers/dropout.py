"""Dropout."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, InPlaceEffect, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.activation import Power
from minicaffe.ops.dropout import Dropout as DropoutOp
from minicaffe.ops.layout import Copy
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import DropoutParameter


def require_ratio(layer: Layer, ratio: float) -> None:
    """Raise a NetError unless `ratio` is a share of values that may become zero."""
    layer.require(
        0 <= ratio < 1,
        f"dropout_ratio: {ratio:g} is not the share of values that become 0; it must be at "
        "least 0 and less than 1",
    )


@register("Dropout")
class Dropout(Layer[DropoutParameter]):
    """Set random values to zero in the TRAIN phase; copy the bottom in the TEST phase.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = x * mask / (1 - dropout_ratio), where mask is 0 with probability dropout_ratio, else 1; the
    same mask multiplies the gradient. The mask depends only on the random seed, the layer's name
    and the number of earlier passes. A ratio of 0 keeps all values.

    scale_train: false (Fast R-CNN, R-FCN, MNC) does not divide, but multiplies by
    1 - dropout_ratio in the TEST phase. sample_weights_test: true (SegNet, ENet) drops values in
    the TEST phase as well, for Bayesian inference.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    """

    in_place = True
    overwrites_top_diff = True
    reads_bottoms = False

    @property
    def in_place_effect(self) -> InPlaceEffect:
        """Scaled or zero values; the gradient of a zero is zero."""
        return "magnitudes" if self.is_random or not self.settings.scale_train else "nothing"

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return the layer without random values, if it has them in the TEST phase."""
        if not param.dropout_param.sample_weights_test:
            return param
        layer = LayerParameter()
        layer.CopyFrom(param)
        layer.dropout_param.ClearField("sample_weights_test")
        return layer

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the ratio."""
        return f"{param.dropout_param.dropout_ratio:g}"

    @property
    def is_random(self) -> bool:
        """Whether values are dropped in this phase."""
        return self.is_training or self.settings.sample_weights_test

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the ratio."""
        require_ratio(self, self.settings.dropout_ratio)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        top[0].reshape(bottom[0].shape)
        x, y = bottom[0].data, top[0].data
        ratio, scales = self.settings.dropout_ratio, self.settings.scale_train
        if self.is_random:
            self.kernel = self.plan(DropoutOp(ratio, 1 / (1 - ratio) if scales else 1.0), x, y)
        elif scales:
            self.copy = self.plan(Copy(), x, y)
        else:
            self.factor = self.plan(Power(scale=1 - ratio), x, y)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        if self.is_random:
            self.kernel.forward(bottom[0].data, top[0].data, self.stream("mask"))
        elif not self.settings.scale_train:
            self.factor.forward(bottom[0].data, top[0].data)
        elif bottom[0] is not top[0]:
            self.copy.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if not propagate_down[0]:
            return
        dy, dx = top[0].diff, bottom[0].diff
        if self.is_random:
            self.kernel.backward(dy, dx)
        elif not self.settings.scale_train:
            self.factor.forward(dy, dx)
        elif dx is not dy:
            self.copy.forward(dy, dx)
