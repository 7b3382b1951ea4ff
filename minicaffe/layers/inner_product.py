"""InnerProduct: the fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.face.unit_vectors import UnitVectors
from minicaffe.ops.inner_product import InnerProduct as InnerProductOp
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import InnerProductParameter


@register("InnerProduct")
class InnerProduct(Layer[InnerProductParameter]):
    """Apply a fully connected layer: multiply each sample by a learned matrix and add a bias.

    Shapes: x (M..., K...) -> y (M..., num_output)

    Notes
    -----
    y[m, n] = b[n] + sum over k of w[n, k] x[m, k]. The axes from `axis` on form the vector of K
    values, those before it the samples. normalize: true (of the forks by happynear) scales the
    vectors of w to length 1 at the beginning of each forward pass.

    Parameters: weights (num_output, K), or (K, num_output) with transpose, then bias (num_output,).
    """

    role = "weights"
    can_recompute = True
    quantized_type = "FcRistretto"

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the number of outputs."""
        return str(param.inner_product_param.num_output)

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Return the number of weights for each sample."""
        return top[0].count // self.settings.num_output * self.blobs[0].count

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create weights and bias."""
        proto = self.settings
        self.require(proto.num_output > 0, "num_output is missing or 0; it must be at least 1")
        self.first = self.axis(proto.axis, bottom[0])
        self.inputs = math.prod(bottom[0].shape[self.first :])
        shape = (
            (self.inputs, proto.num_output) if proto.transpose else (proto.num_output, self.inputs)
        )
        self.add_parameter(shape, proto.weight_filler)
        if proto.bias_term:
            self.add_parameter((proto.num_output,), proto.bias_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        shape = bottom[0].shape
        found = math.prod(shape[self.first :])
        self.require_shape(
            len(shape) > self.first and found == self.inputs,
            f'bottom "{bottom[0].name}" of shape {shape} now has {found} values a sample; the '
            f"weights were made for {self.inputs}",
        )
        top[0].reshape((*shape[: self.first], self.settings.num_output))
        w, b = self.weight_values()
        op = InnerProductOp(self.first, self.settings.transpose, b is not None)
        self.kernel = self.plan(op, bottom[0].data, w, top[0].data, *([] if b is None else [b]))
        if self.settings.normalize:
            self.scale_vectors = self.plan(UnitVectors(0 if self.settings.transpose else 1), w)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse ops that follow on the top into the kernel, as far as the backend supports it."""
        return self.context.backend.fuse(self.kernel, epilogue)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        w, b = self.weight_values()
        if self.settings.normalize:
            self.scale_vectors.forward(w)
        self.kernel.forward(bottom[0].data, w, b, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff, add to the parameters'."""
        dw, db = self.weight_diffs()
        if dw is not None or db is not None:
            self.kernel.backward_weights(bottom[0].data, top[0].diff, dw, db)
        if propagate_down[0]:
            self.kernel.backward_data(top[0].diff, self.weight_values()[0], bottom[0].diff)
