"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.softmax import Softmax as SoftmaxOp
from minicaffe.schema.minicaffe_pb2 import SoftmaxParameter


@register("Softmax")
class Softmax(Layer[SoftmaxParameter]):
    """Compute the softmax along an axis: scores become probabilities that sum to 1.

    Shapes: x (...) -> y (...)

    Notes
    -----
    y = exp(x) / sum of exp(x) along `axis`; dx = y (dy - sum of dy y).
    """

    role = "output"
    can_recompute = True
    in_place = True
    reads_bottoms = False
    reads_tops = "values"

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        top[0].reshape(bottom[0].shape)
        axis = self.axis(self.settings.axis, bottom[0])
        self.kernel = self.plan(SoftmaxOp(axis), bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(top[0].data, top[0].diff, bottom[0].diff)
