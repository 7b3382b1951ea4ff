"""Embed."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.embed import Embed as EmbedOp
from minicaffe.schema.minicaffe_pb2 import EmbedParameter


@register("Embed")
class Embed(Layer[EmbedParameter]):
    """Look up a learned vector (embedding) for each index, of a word for example.

    Shapes: numbers (...) -> y (..., num_output)

    Notes
    -----
    y[i] = w[numbers[i]] + b: an inner product with one-hot vectors of input_dim values, without
    building them.

    Parameters: weights (input_dim, num_output), then bias (num_output,).

    Differs from Caffe: a number that is not a row of the weights is an error; there it read foreign
    memory.
    """

    role = "weights"
    without_gradient = (0,)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create weights and bias."""
        proto = self.settings
        for field in ("num_output", "input_dim"):
            self.require(
                getattr(proto, field) > 0, f"{field} is missing or 0; it must be at least 1"
            )
        self.add_parameter((proto.input_dim, proto.num_output), proto.weight_filler)
        if proto.bias_term:
            self.add_parameter((proto.num_output,), proto.bias_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        top[0].reshape((*bottom[0].shape, self.settings.num_output))
        w, *bias = (blob.data for blob in self.blobs)
        self.kernel = self.plan(EmbedOp(bool(bias)), bottom[0].data, w, top[0].data, *bias)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        b = self.blobs[1].data if len(self.blobs) > 1 else None
        self.kernel.forward(bottom[0].data, self.blobs[0].data, b, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to the parameters' diffs."""
        self.require_no_gradient(propagate_down)
        dw, db = self.weight_diffs()
        if dw is not None or db is not None:
            self.kernel.backward_weights(bottom[0].data, top[0].diff, dw, db)
