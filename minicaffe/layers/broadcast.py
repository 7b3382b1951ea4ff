"""Base of Scale and Bias: an operand, learned or a second bottom, broadcast over the first."""

from __future__ import annotations

from typing import TypeVar

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.ops.backend import Shape
from minicaffe.schema.minicaffe_pb2 import BiasParameter, ScaleParameter

B = TypeVar("B", BiasParameter, ScaleParameter)


class BroadcastLayer(Layer[B]):
    """Base of layers whose settings have `axis` and `num_axes`, with an optional second bottom."""

    bottoms = (1, 2)
    in_place = True

    def learned_shape(self, x: Blob) -> Shape:
        """Return the shape of the learned array: num_axes axes of x from `axis` on, -1 for all."""
        axis, n = self.axis(self.settings.axis, x), self.settings.num_axes
        self.require(n >= -1, f"num_axes: {n} must be 0 or more, or -1, which stands for all")
        end = len(x.shape) if n == -1 else axis + n
        self.require_shape(
            end <= len(x.shape),
            f"axis: {axis} and num_axes: {n} reach past the {len(x.shape)} axes of bottom "
            f'"{x.name}" of shape {x.shape}',
        )
        return x.shape[axis:end]

    def operand(self, bottom: Blobs) -> Blob:
        """Return the operand that is broadcast: the second bottom, or the first parameter."""
        return bottom[1] if len(bottom) > 1 else self.blobs[0]

    def broadcast_axis(self, bottom: Blobs) -> int:
        """Return the axis of the first bottom at which the axes of the operand begin."""
        x, operand = bottom[0], self.operand(bottom)
        if not operand.shape:
            return 0
        axis = self.axis(self.settings.axis, x)
        found = x.shape[axis : axis + len(operand.shape)]
        what = f'bottom "{operand.name}"' if len(bottom) > 1 else "the learned array"
        self.require_shape(
            found == operand.shape,
            f"{what} of shape {operand.shape} must fit the axes of bottom "
            f'"{x.name}" {x.shape} from axis {axis} on',
        )
        return axis
