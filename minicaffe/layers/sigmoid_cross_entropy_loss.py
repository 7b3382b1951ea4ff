"""SigmoidCrossEntropyLoss."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import NormalizedLossLayer, probability_layer
from minicaffe.layers.registry import register
from minicaffe.ops.loss import SigmoidCrossEntropyLoss as SigmoidCrossEntropyLossOp
from minicaffe.ops.softmax import Normalization
from minicaffe.schema import LayerParameter


@register("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(NormalizedLossLayer):
    """Compute the cross entropy of targets in 0 .. 1 and the sigmoid of each score.

    Shapes: x (N, ...), targets (N, ...) -> loss ()

    Notes
    -----
    With s = 1 / (1 + exp(-x)), loss = - sum of t log(s) + (1 - t) log(1 - s), divided by Z, and
    dx = (s - t) / Z. Z is set by loss_param { normalization }, by default BATCH_SIZE, N: not
    VALID as for other losses. Targets that equal ignore_label, after truncation to integers, are
    ignored.
    """

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return the Sigmoid."""
        return probability_layer(param, "Sigmoid", "prob")

    def normalization(self) -> Normalization:
        """Return the kind of normaliser."""
        proto = self.param.loss_param
        is_given = proto.HasField("normalization") or proto.HasField("normalize")
        return super().normalization() if is_given else "batch_size"

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is a target for each score and plan."""
        super().reshape(bottom, top)
        x, targets = bottom
        self.require_shape(
            x.shape and x.count == targets.count,
            f'bottoms "{x.name}" {x.shape} and "{targets.name}" {targets.shape} must have as many '
            "values",
        )
        op = SigmoidCrossEntropyLossOp(self.normalization(), self.ignore_label())
        self.kernel = self.plan(op, x.data, targets.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the scores' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            self.kernel.backward(bottom[0].data, bottom[1].data, top[0].diff, bottom[0].diff)
