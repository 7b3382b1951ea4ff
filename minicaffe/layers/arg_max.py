"""ArgMax."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.arg_max import ArgMax as ArgMaxOp
from minicaffe.schema.minicaffe_pb2 import ArgMaxParameter


@register("ArgMax")
class ArgMax(Layer[ArgMaxParameter]):
    """Find the indices or the values of the top_k largest elements.

    Shapes: x (N, ...) -> y (N, 1 or 2, top_k, ...)

    Notes
    -----
    Without `axis` each sample is one vector: the top contains indices (N, 1, top_k), or with
    out_max_val indices and values (N, 2, top_k), and has as many axes as the bottom, further ones
    of size 1. With `axis` the top has the bottom's shape with top_k along that axis, and contains
    the values if out_max_val, else the indices. Of equal values the later one comes first. There is
    no gradient.
    """

    role = "output"
    without_gradient = (0,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        proto, shape = self.settings, bottom[0].shape
        self.require_shape(shape, f'bottom "{bottom[0].name}" must have an axis of samples')
        axis = self.axis(proto.axis, bottom[0]) if proto.HasField("axis") else None
        candidates = math.prod(shape[1:]) if axis is None else shape[axis]
        self.require_shape(
            1 <= proto.top_k <= candidates,
            f"top_k: {proto.top_k} must be 1 to the number of values, {candidates}",
        )
        if axis is None:
            ones = (1,) * (len(shape) - 3)
            top[0].reshape((shape[0], 1 + proto.out_max_val, proto.top_k, *ones))
        else:
            top[0].reshape((*shape[:axis], proto.top_k, *shape[axis + 1 :]))
        op = ArgMaxOp(proto.top_k, axis, proto.out_max_val)
        self.kernel = self.plan(op, bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Raise an error: indices have no gradient."""
        self.require_no_gradient(propagate_down)
