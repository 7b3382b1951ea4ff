"""Input: blobs that the user fills."""

from __future__ import annotations

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.settable_batch import SettableBatch, set_first_axis
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import InputParameter


@register("Input")
class Input(SettableBatch, Layer[InputParameter]):
    """Provide blobs of given shapes that the program fills.

    Shapes: -> x (...)[, x (...) and so on]
    """

    is_filled_by_program = True
    role = "data"
    bottoms = 0
    tops = (1, None)

    @classmethod
    def set_batch(cls, param: LayerParameter, samples: int, batch: int) -> None:
        """Change the first axis of the shapes that have `samples` there."""
        set_first_axis(param.input_param.shape, samples, batch)

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
