"""Split: one blob for several readers."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.layout import Add


@register("Split")
class Split(Layer):
    """Share a blob with several readers and sum their gradients; the net inserts this layer.

    Shapes: x (...) -> y (...)[, y (...) and so on]

    Notes
    -----
    The values are shared, the gradients summed: dx = sum of dy.
    """

    copies_bottom = True
    reads_bottoms = False
    tops = (1, None)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Share the bottom's values and plan the sum."""
        for blob in top:
            blob.reshape(bottom[0].shape)
            blob.share_data(bottom[0])
        self.kernel = self.plan(Add(), *(bottom[0].data for _ in top), bottom[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Do nothing: the memory is shared."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.forward([blob.diff for blob in top], bottom[0].diff)
