"""SeLuDropout."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.dropout import require_ratio
from minicaffe.layers.registry import register
from minicaffe.ops.activation import Power
from minicaffe.ops.dropout import Dropout
from minicaffe.ops.layout import Copy
from minicaffe.schema.forks_pb2 import SELUDropoutParameter

# The value of a saturated SELU, -1.0507 * 1.67326, which dropped values get.
_SATURATED = -1.75809934


@register("SeLuDropout")
class SeLuDropout(Layer[SELUDropoutParameter]):
    """Drop values in the TRAIN phase so that mean and variance stay 0 and 1; else copy.

    Shapes: x (...) -> y (...)

    Notes
    -----
    With q = 1 - dropout_ratio and d = -1.7581, the value of a saturated SELU: y = a (x or, with
    probability dropout_ratio, d) + b, a = 1 / sqrt(q + d^2 q (1 - q)), b = -a (1 - q) d.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", 2017 (alpha dropout).
    """

    in_place = True
    reads_bottoms = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the ratio."""
        require_ratio(self, self.settings.dropout_ratio)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        top[0].reshape(bottom[0].shape)
        x, y = bottom[0].data, top[0].data
        if not self.is_training:
            self.copy = self.plan(Copy(), x, y)
            return
        ratio, d = self.settings.dropout_ratio, _SATURATED
        a = ((1 - ratio) * (1 + ratio * d * d)) ** -0.5
        # y = a (x - d) mask + a d + b: the three steps work one after the other.
        self.shift = self.plan(Power(shift=-d), x, y)
        self.kernel = self.plan(Dropout(ratio, a), y, y)
        self.shift_back = self.plan(Power(shift=a * d * (1 - ratio)), y, y)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        x, y = bottom[0].data, top[0].data
        if self.is_training:
            self.shift.forward(x, y)
            self.kernel.forward(y, y, self.stream("mask"))
            self.shift_back.forward(y, y)
        elif bottom[0] is not top[0]:
            self.copy.forward(x, y)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0] and self.is_training:
            self.kernel.backward(top[0].diff, bottom[0].diff)
        elif propagate_down[0] and bottom[0] is not top[0]:
            self.copy.forward(top[0].diff, bottom[0].diff)
