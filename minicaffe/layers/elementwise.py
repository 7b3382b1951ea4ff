"""Base of the elementwise activation layers."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, InPlaceEffect, Layer, P, TopReads
from minicaffe.ops.activation import Activation


class ActivationLayer(Layer[P]):
    """Base of the layers with one elementwise op: a subclass returns the op of its settings."""

    role = "activation"
    in_place = True
    overwrites_top_diff = True
    can_recompute = True

    def op(self) -> Activation:
        """Return the op with the numbers of the settings."""
        raise NotImplementedError

    @property
    def reads_bottoms(self) -> bool:
        """Whether the op's gradient reads x."""
        return self.op().gradient_needs_x()

    @property
    def reads_tops(self) -> TopReads:
        """What the op's gradient reads of y."""
        if self.reads_bottoms:
            return "nothing"
        return "signs" if self.op().keeps_signs() else "values"

    @property
    def in_place_effect(self) -> InPlaceEffect:
        """What the op changes."""
        return "magnitudes" if self.op().keeps_signs() else "values"

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape and plan."""
        top[0].reshape(bottom[0].shape)
        self.kernel = self.plan(self.op(), bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(bottom[0].data, top[0].data, top[0].diff, bottom[0].diff)
