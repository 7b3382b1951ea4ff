"""Parameter."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.layout import Add, Copy
from minicaffe.schema.minicaffe_pb2 import ParameterParameter


@register("Parameter")
class Parameter(Layer[ParameterParameter]):
    """Provide a learned blob as an input of other layers.

    Shapes: -> y (...)

    Notes
    -----
    The top is the parameter, its gradient the parameter's.

    Parameters: one of the given shape, zero at first: load weights or fill it by program, or let
    it share (param { name: ... }) one that has a filler.

    Differs from Caffe: the gradient is added to the parameter's, as for every other layer; there it
    replaced what earlier passes (iter_size) and other layers that share the parameter had added.
    """

    bottoms = 0

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the parameter."""
        self.add_parameter(tuple(int(size) for size in self.settings.shape.dim))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        blob = self.blobs[0]
        top[0].reshape(blob.shape)
        self.copy = self.plan(Copy(), blob.data, top[0].data)
        self.add = self.plan(Add(), blob.data, blob.data, blob.data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.copy.forward(self.blobs[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to the parameter's diff."""
        if self.param_needs_diff[0]:
            total = self.blobs[0].diff
            self.add.forward([total, top[0].diff], total)
