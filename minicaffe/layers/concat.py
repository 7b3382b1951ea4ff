"""Concat."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.ops.concat import Concat as ConcatOp
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import ConcatParameter, SliceParameter


@register("Concat")
class Concat(Layer[ConcatParameter]):
    """Concatenate blobs along an axis.

    Shapes: x (N, C1, ...)[, z (N, C2, ...) and so on] -> y (N, C1 + C2 + ..., ...)

    Notes
    -----
    The axis is `axis`, 1 by default, or the older `concat_dim`, which cannot be negative. All other
    axes must agree. The gradient is sliced.
    """

    bottoms = (1, None)
    reads_bottoms = False
    can_recompute = True

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the axis."""
        return f"axis {param.concat_param.axis}"

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the shapes fit together and plan."""
        axis = part_axis(self, bottom[0], "concat_dim")
        first = bottom[0]
        for blob in bottom[1:]:
            self.require_shape(
                _without(axis, blob.shape) == _without(axis, first.shape),
                f'bottoms "{first.name}" {first.shape} and "{blob.name}" {blob.shape} may differ '
                f"along axis {axis} only",
            )
        joined = sum(blob.shape[axis] for blob in bottom)
        top[0].reshape((*first.shape[:axis], joined, *first.shape[axis + 1 :]))
        parts = (blob.data for blob in bottom)
        self.kernel = self.plan(ConcatOp(axis), top[0].data, *parts)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward([blob.data for blob in bottom], top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        wanted = zip(bottom, propagate_down, strict=True)
        self.kernel.backward(top[0].diff, [b.diff if needed else None for b, needed in wanted])


def part_axis(layer: Layer[ConcatParameter | SliceParameter], blob: Blob, old_field: str) -> int:
    """Return the axis of Concat or Slice, from the field `axis` or the older one."""
    proto = layer.settings
    if not proto.HasField(old_field):
        return layer.axis(proto.axis, blob)
    layer.require(not proto.HasField("axis"), f"give axis or {old_field}, not both")
    return layer.axis(getattr(proto, old_field), blob, old_field)


def _without(axis: int, shape: Shape) -> tuple[Shape, Shape]:
    return shape[:axis], shape[axis + 1 :]
