"""Bias."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.broadcast import BroadcastLayer
from minicaffe.layers.registry import register
from minicaffe.ops.bias import Bias as BiasOp
from minicaffe.ops.layout import Copy
from minicaffe.schema.minicaffe_pb2 import BiasParameter


@register("Bias")
class Bias(BroadcastLayer[BiasParameter]):
    """Add a bias, learned or a second bottom, broadcast along the other axes.

    Shapes: x (...)[, bias (...)] -> y (...)

    Notes
    -----
    y = x + b. b has the shape of num_axes axes of x from `axis` on (-1: all of them, 0: one
    number), or is the second bottom, whose shape must be that of x from `axis` on.

    Parameters: bias, unless it is a bottom.
    """

    can_recompute = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the bias."""
        if len(bottom) == 1:
            self.add_parameter(self.learned_shape(bottom[0]), self.settings.filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        axis, x, y = self.broadcast_axis(bottom), bottom[0], top[0]
        y.reshape(x.shape)
        self.kernel = self.plan(BiasOp(axis), x.data, self.operand(bottom).data, y.data)
        self.copy = self.plan(Copy(), y.data, x.data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, self.operand(bottom).data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to the parameter's diff, overwrite the bottoms'; the first may be the top's."""
        is_learned, b = len(bottom) == 1, self.operand(bottom)
        wanted = self.param_needs_diff[0] if is_learned else propagate_down[1]
        if wanted and not is_learned:
            b.diff.clear()
        if wanted:
            self.kernel.backward_weights(top[0].diff, b.diff)
        if propagate_down[0] and bottom[0] is not top[0]:
            self.copy.forward(top[0].diff, bottom[0].diff)
