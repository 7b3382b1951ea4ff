"""Reduction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.reduction import Reduction as ReductionOp
from minicaffe.ops.reduction import ReductionOperation
from minicaffe.schema.minicaffe_pb2 import ReductionParameter


@register("Reduction")
class Reduction(Layer[ReductionParameter]):
    """Reduce the axes from `axis` on to their sum, sum of magnitudes, sum of squares or mean.

    Shapes: x (M..., K...) -> y (M...)

    Notes
    -----
    `axis` is 0 by default: all values are reduced to one. The result is multiplied by `coeff`. As a
    loss it takes a loss_weight; it has none by default.
    """

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Drop the reduced axes and plan."""
        proto = self.settings
        axis = self.axis(proto.axis, bottom[0])
        top[0].reshape(bottom[0].shape[:axis])
        operation = type(proto).ReductionOp.Name(proto.operation).lower()
        op = ReductionOp(cast(ReductionOperation, operation), axis, proto.coeff)
        self.kernel = self.plan(op, bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(bottom[0].data, top[0].diff, bottom[0].diff)
