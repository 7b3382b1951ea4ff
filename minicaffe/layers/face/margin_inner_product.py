"""LargeMarginInnerProduct and MarginInnerProduct."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, TypeVar

from minicaffe.layers.base import Blobs
from minicaffe.layers.face.annealed import AnnealedLayer
from minicaffe.layers.registry import register
from minicaffe.layers.without_labels import layer_without_labels
from minicaffe.ops.face.margin_product import MarginProduct
from minicaffe.ops.face.unit_vectors import UnitVectors
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import (
    LargeMarginInnerProductParameter,
    MarginInnerProductParameter,
)

M = TypeVar("M", bound=LargeMarginInnerProductParameter | MarginInnerProductParameter)


class AngularMarginLayer(AnnealedLayer[M]):
    """Base of inner products with an angular margin for the true class."""

    role = "weights"
    bottoms = 2
    tops = (1, 2)
    without_gradient = (1,)
    # Whether forward scales the weights to unit rows.
    has_unit_rows: ClassVar[bool] = False

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return the InnerProduct without a margin."""
        proto, layer = getattr(param, cls.param_field), layer_without_labels(param, "InnerProduct")
        layer.param.extend(param.param)
        settings = layer.inner_product_param
        settings.num_output, settings.axis, settings.bias_term = proto.num_output, proto.axis, False
        settings.normalize = cls.has_unit_rows
        return layer

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the number of outputs and the multiple of the angle."""
        proto = getattr(param, cls.param_field)
        return f"{proto.num_output}, {proto.type + 1} x angle"

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Return the number of weights for each sample."""
        return top[0].count // self.settings.num_output * self.blobs[0].count

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the weights."""
        proto = self.settings
        self.require(proto.num_output > 0, "num_output is missing or 0; it must be at least 1")
        self.first = self.axis(proto.axis, bottom[0])
        self.inputs = math.prod(bottom[0].shape[self.first :])
        self.add_parameter((proto.num_output, self.inputs), proto.weight_filler)
        self.start_at(proto.iteration)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops their shapes and plan."""
        x, labels = bottom
        found = math.prod(x.shape[self.first :])
        self.require_shape(
            len(x.shape) > self.first and found == self.inputs,
            f'bottom "{x.name}" of shape {x.shape} now has {found} values a sample; the weights '
            f"were made for {self.inputs}",
        )
        self.require_shape(
            labels.count == math.prod(x.shape[: self.first]),
            f'bottom "{x.name}" {x.shape} needs one label a sample; bottom "{labels.name}" '
            f"{labels.shape} has {labels.count}",
        )
        top[0].reshape((*x.shape[: self.first], self.settings.num_output))
        for blob in top[1:]:
            blob.reshape((1,))
        w = self.blobs[0].data
        # SINGLE is 0, QUADRUPLE is 3.
        op = MarginProduct(self.first, self.settings.type + 1, self.has_unit_rows)
        self.kernel = self.plan(op, x.data, w, labels.data, self.number, top[0].data)
        self.scale_rows = self.plan(UnitVectors(), w)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops and count the pass."""
        proto = self.settings
        self.iteration += 1
        decayed = proto.base * (1 + proto.gamma * self.iteration) ** -proto.power
        self.announce(max(decayed, proto.lambda_min), top[1] if len(top) > 1 else None)
        if self.has_unit_rows:
            self.scale_rows.forward(self.blobs[0].data)
        x, labels = (blob.data for blob in bottom)
        self.kernel.forward(x, self.blobs[0].data, labels, self.number, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff, add to the weights'."""
        self.require_no_gradient(propagate_down)
        x, labels = bottom
        dw, _ = self.weight_diffs()
        dx = x.diff if propagate_down[0] else None
        inputs = (x.data, self.blobs[0].data, labels.data, self.number)
        self.kernel.backward(inputs, top[0].diff, dx, dw)


@register("LargeMarginInnerProduct")
class LargeMarginInnerProduct(AngularMarginLayer[LargeMarginInnerProductParameter]):
    """Multiply by a learned matrix, with an angular margin for the true class (L-Softmax).

    Shapes: x (N, K...), labels (N,) -> y (N, num_output)[, lambda (1,)]

    Notes
    -----
    With theta the angle between a sample and the weights w of its class, the product |w| |x|
    cos(theta) of the true class becomes |w| |x| (lambda cos(theta) + psi(theta)) / (1 + lambda),
    where psi(theta) = (-1)^k cos(m theta) - 2 k for theta in [k pi / m, (k + 1) pi / m]; m is 1 for
    type: SINGLE, up to 4 for QUADRUPLE. lambda = max(base (1 + gamma i)^-power, lambda_min) falls
    with the number i of forward passes, counted from `iteration` + 1; snapshots store i.

    Parameters: weights (num_output, K). The layer is that of LargeMargin_Softmax_Loss.

    References
    ----------
    Liu et al., "Large-margin softmax loss for convolutional neural networks", 2016.
    """


@register("MarginInnerProduct")
class MarginInnerProduct(AngularMarginLayer[MarginInnerProductParameter]):
    """Multiply by unit vectors, with an angular margin for the true class (SphereFace).

    Shapes: x (N, K...), labels (N,) -> y (N, num_output)[, lambda (1,)]

    Notes
    -----
    As LargeMarginInnerProduct, with three differences: each forward pass first scales the rows of
    the weights to length 1; their gradient is that without a margin; and in the gradient of x the
    part of the margin, a w + b x, is divided by sqrt(a^2 + b^2). So no gradient is a derivative.

    Parameters: weights (num_output, K). The layer is that of SphereFace.

    References
    ----------
    Liu et al., "SphereFace: deep hypersphere embedding for face recognition", 2017.
    """

    has_unit_rows = True
