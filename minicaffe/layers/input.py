"""Input: blobs that the user fills."""

from __future__ import annotations

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.schema.minicaffe_pb2 import InputParameter


@register("Input")
class Input(Layer[InputParameter]):
    """Provide blobs of given shapes that the program fills.

    Shapes: -> x (...)[, x (...) and so on]
    """

    is_filled_by_program = True
    role = "data"
    bottoms = 0
    tops = (1, None)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops their shapes, once: a program may reshape them later."""
        shapes = self.settings.shape
        self.require(
            len(shapes) in (0, 1, len(top)),
            f"{len(shapes)} shapes for {len(top)} tops; give one shape for all, or one for each",
        )
        for i, blob in enumerate(top):
            if len(shapes):
                shape = shapes[0] if len(shapes) == 1 else shapes[i]
                blob.reshape(tuple(int(size) for size in shape.dim))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Keep the shapes."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Do nothing: the user writes the data."""
