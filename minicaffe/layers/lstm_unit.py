"""LSTMUnit: one step of an LSTM."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.lstm import LstmUnit as LstmUnitOp


@register("LSTMUnit")
class LSTMUnit(Layer):
    """Compute one time step of an LSTM from the inputs of its gates.

    Shapes: c (1, N, D), a (1, N, 4 D), cont (1, N) -> c (1, N, D), h (1, N, D)

    Notes
    -----
    The quarters of a are i, f, o and g. The new c is cont sigmoid(f) c + sigmoid(i) tanh(g), and
    h = sigmoid(o) tanh(new c). There are no parameters: LSTM is a whole layer.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), with
    the forget gate of Gers et al. (2000).
    """

    role = "weights"
    bottoms = 3
    tops = 2
    without_gradient = (2,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes and plan."""
        c, a, cont = bottom
        self.require_shape(
            len(c.shape) == 3 and c.shape[0] == 1,
            f'bottom "{c.name}" has shape {c.shape}; it must be (1, streams, D)',
        )
        _, streams, size = c.shape
        self.require_shape(
            a.shape == (1, streams, 4 * size),
            f'bottom "{a.name}" has shape {a.shape}; for "{c.name}" of shape {c.shape} it must be '
            f"(1, {streams}, {4 * size})",
        )
        self.require_shape(
            cont.shape == (1, streams),
            f'bottom "{cont.name}" has shape {cont.shape}; it must be (1, {streams})',
        )
        for blob in top:
            blob.reshape(c.shape)
        self.kernel = self.plan(LstmUnitOp(), *(blob.data for blob in (*bottom, *top)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        self.kernel.forward(*(blob.data for blob in (*bottom, *top)))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        self.require(not propagate_down[2], "cont has no gradient; set propagate_down: false")
        dc0, da = (
            blob.diff if needed else None
            for blob, needed in zip(bottom[:2], propagate_down[:2], strict=True)
        )
        self.kernel.backward(bottom[0].data, top[0].diff, top[1].diff, dc0, da)
