"""Flatten."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.schema.minicaffe_pb2 import FlattenParameter


@register("Flatten")
class Flatten(Layer[FlattenParameter]):
    """Flatten the axes from `axis` to `end_axis` into one, without a copy.

    Shapes: x (N, C, H, W) -> y (N, C * H * W)

    Notes
    -----
    If `end_axis` is the axis before `axis`, an axis of size 1 is inserted before `axis`, as in
    Caffe.
    """

    reads_bottoms = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape over the bottom's memory."""
        proto, shape = self.settings, bottom[0].shape
        first = self.axis(proto.axis, bottom[0])
        last = self.axis(proto.end_axis, bottom[0], "end_axis")
        self.require(
            last >= first - 1,
            f"end_axis: {last} must be at least axis - 1; axis is {first}. Exchange them, or leave "
            "end_axis out, for the last axis.",
        )
        joined = math.prod(shape[first : last + 1])
        top[0].reshape((*shape[:first], joined, *shape[last + 1 :]))
        top[0].share_data(bottom[0])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Do nothing: the memory is shared."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Share the top's diff, not before: without a backward pass the bottom's is its own."""
        if propagate_down[0]:
            bottom[0].share_diff(top[0])
