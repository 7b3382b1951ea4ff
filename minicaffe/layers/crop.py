"""Crop."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import Shape
from minicaffe.ops.crop import Crop as CropOp
from minicaffe.schema.minicaffe_pb2 import CropParameter


@register("Crop")
class Crop(Layer[CropParameter]):
    """Crop a blob to the size of another.

    Shapes: x (N, C, H, W), reference (N, C, H', W') -> y (N, C, H', W')

    Notes
    -----
    The axes from `axis` on get the reference's sizes; the block begins at `offset`, 0 by default,
    given once for all of them or once for each. The reference's values are not read: its gradient
    is zero.
    """

    bottoms = 2
    without_gradient = (1,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find the block and plan."""
        x, reference = bottom
        first = self.axis(self.settings.axis, x)
        self.require_shape(
            len(reference.shape) == len(x.shape),
            f'bottoms "{x.name}" {x.shape} and "{reference.name}" {reference.shape} must have as '
            "many axes",
        )
        offset = self._offset(len(x.shape) - first)
        for axis, start in enumerate(offset, first):
            self.require_shape(
                start + reference.shape[axis] <= x.shape[axis],
                f"{reference.shape[axis]} values from offset {start} on do not fit into axis {axis}"
                f' of bottom "{x.name}" {x.shape}',
            )
        top[0].reshape((*x.shape[:first], *reference.shape[first:]))
        op = CropOp((*(0,) * first, *offset))
        self.kernel = self.plan(op, x.data, top[0].data)

    def _offset(self, n: int) -> Shape:
        given = tuple(map(int, self.settings.offset)) or (0,)
        self.require(
            len(given) in (1, n),
            f"{len(given)} offsets for {n} cropped axes; give one for all, or one for each",
        )
        return given * n if len(given) == 1 else given

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)
        if propagate_down[1]:
            bottom[1].diff.clear()
