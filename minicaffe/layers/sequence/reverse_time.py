"""ReverseTime."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.sequence.reverse_time import ReverseTime as ReverseTimeOp
from minicaffe.schema.forks_pb2 import ReverseTimeParameter


@register("ReverseTime")
class ReverseTime(Layer[ReverseTimeParameter]):
    """Reverse the steps of sequences of different lengths, for bidirectional recurrent nets.

    Shapes: x (T, N, ...), lengths (N,) -> y (T, N, ...)

    Notes
    -----
    y[t, n] = x[lengths[n] - 1 - t, n] for t < lengths[n]; the steps behind are 0, or with
    copy_remaining: true those of x. The layer is that of caffe_ocr.
    """

    bottoms = 2
    without_gradient = (1,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        x, lengths = bottom
        self.require_shape(
            len(x.shape) > 1 and lengths.shape == x.shape[1:2],
            f'bottom "{x.name}" must be (T, N, ...) and "{lengths.name}" (N,), one length a '
            f"sample; they are {x.shape} and {lengths.shape}",
        )
        top[0].reshape(x.shape)
        op = ReverseTimeOp(self.settings.copy_remaining)
        self.kernel = self.plan(op, x.data, lengths.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            self.kernel.backward(bottom[1].data, top[0].diff, bottom[0].diff)
