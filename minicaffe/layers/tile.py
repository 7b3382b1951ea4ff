"""Tile."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.tile import Tile as TileOp
from minicaffe.schema.minicaffe_pb2 import TileParameter


@register("Tile")
class Tile(Layer[TileParameter]):
    """Repeat a blob along an axis.

    Shapes: x (N, C, ...) -> y (N, tiles * C, ...)

    Notes
    -----
    The top is `tiles` copies of the bottom one after another along `axis`; the gradients are
    summed.
    """

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Multiply the axis and plan."""
        tiles, shape = self.settings.tiles, bottom[0].shape
        self.require(tiles > 0, f"tiles: {tiles} must be at least 1")
        axis = self.axis(self.settings.axis, bottom[0])
        top[0].reshape((*shape[:axis], tiles * shape[axis], *shape[axis + 1 :]))
        self.kernel = self.plan(TileOp(axis, tiles), bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)
