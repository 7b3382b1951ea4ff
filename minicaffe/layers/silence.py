"""Silence."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.schema import LayerParameter


@register("Silence")
class Silence(Layer):
    """Consume blobs, so that they are not outputs of the net.

    Shapes: x (...)[, x (...) and so on] ->
    """

    bottoms = (1, None)
    tops = 0

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it computes nothing."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Do nothing: there are no tops."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Do nothing."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the diffs with zero."""
        for blob, needed in zip(bottom, propagate_down, strict=True):
            if needed:
                blob.diff.clear()
