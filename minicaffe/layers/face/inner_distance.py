"""InnerDistance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.face.distance import DistanceNorm
from minicaffe.ops.face.distance import InnerDistance as InnerDistanceOp
from minicaffe.ops.face.unit_vectors import UnitVectors
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import InnerDistanceParameter


@register("InnerDistance")
class InnerDistance(Layer[InnerDistanceParameter]):
    """Compute the distances of each sample to learned vectors.

    Shapes: x (M..., K...) -> y (M..., num_output)

    Notes
    -----
    distance_type: "L2" (the default) has y[m, n] = b[n] + sum over k of (x[m, k] - w[n, k])^2,
    without a root; "L1" has the sum of absolute values. The axes from `axis` on form the vector of
    K values. normalize: true scales the vectors w to length 1 in each forward pass.

    Parameters: weights (num_output, K), or (K, num_output) with transpose, then bias (num_output,).
    The layer is that of caffe-windows (happynear).
    """

    role = "weights"

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the number of outputs and the kind of distance."""
        proto = param.inner_distance_param
        return f"{proto.num_output}, {proto.distance_type}"

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Return the number of weights for each sample."""
        return top[0].count // self.settings.num_output * self.blobs[0].count

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create weights and bias."""
        proto, x = self.settings, bottom[0]
        self.require(proto.num_output > 0, "num_output is missing or 0; it must be at least 1")
        self.require(
            proto.distance_type in ("L1", "L2"),
            f'distance_type: "{proto.distance_type}" must be "L2" or "L1"',
        )
        self.require(
            not proto.update_center_only,
            "update_center_only is not supported. Remove it, or set propagate_down: false for the "
            "bottom, so that only the weights learn.",
        )
        self.first = self.axis(proto.axis, x)
        self.inputs = math.prod(x.shape[self.first :])
        shape = (proto.num_output, self.inputs)
        self.add_parameter(shape[::-1] if proto.transpose else shape, proto.weight_filler)
        if proto.bias_term:
            self.add_parameter((proto.num_output,), proto.bias_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        shape, proto = bottom[0].shape, self.settings
        found = math.prod(shape[self.first :])
        self.require_shape(
            len(shape) > self.first and found == self.inputs,
            f'bottom "{bottom[0].name}" of shape {shape} now has {found} values a sample; the '
            f"weights were made for {self.inputs}",
        )
        top[0].reshape((*shape[: self.first], proto.num_output))
        w, *bias = (blob.data for blob in self.blobs)
        norm = cast(DistanceNorm, proto.distance_type)
        op = InnerDistanceOp(self.first, norm, proto.transpose)
        self.kernel = self.plan(op, bottom[0].data, w, top[0].data, *bias)
        self.scale_vectors = self.plan(UnitVectors(0 if proto.transpose else 1), w)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        w, b = self.blobs[0].data, self.blobs[1].data if len(self.blobs) > 1 else None
        if self.settings.normalize:
            self.scale_vectors.forward(w)
        self.kernel.forward(bottom[0].data, w, b, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff, add to the parameters'."""
        dw, db = self.weight_diffs()
        x, w = bottom[0].data, self.blobs[0].data
        if dw is not None or db is not None:
            self.kernel.backward_weights(x, w, top[0].diff, dw, db)
        if propagate_down[0]:
            self.kernel.backward_data(x, w, top[0].diff, bottom[0].diff)
