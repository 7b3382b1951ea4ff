"""SoftmaxWithLoss: softmax and multinomial logistic loss in one numerically stable layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import NormalizedLossLayer, require_labels
from minicaffe.layers.registry import register
from minicaffe.layers.scoring import Scoring
from minicaffe.ops.softmax import SoftmaxLoss
from minicaffe.schema.minicaffe_pb2 import SoftmaxParameter

# Probabilities below the smallest normal float32, FLT_MIN, count as that.
_LARGEST_LOSS = -math.log(2.0**-126)


@register("SoftmaxWithLoss")
class SoftmaxWithLoss(NormalizedLossLayer[SoftmaxParameter]):
    """Compute the softmax of the scores and the negative log likelihood of the true classes.

    Shapes: x (N, K, ...), labels (N, ...) -> loss ()[, probabilities (N, K, ...)]

    Notes
    -----
    loss = - sum of log softmax(x)[label] / Z over all labels that are not ignore_label; Z is
    set by loss_param { normalization }. dx = (softmax(x) - onehot(label)) / Z.

    Differs from Caffe: a label that is not a class is an error; there it read foreign memory.
    """

    tops = (1, 2)
    reads_tops = "values"  # the probabilities

    def scoring(self) -> Scoring:
        """Return how labels are compared; every Accuracy layer comes before."""
        return Scoring(self.settings.axis, self.ignore_label(), rank=math.inf)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the blob of probabilities for the case that no top holds them."""
        self.own_probabilities = Blob(self.context.backend, "probabilities")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels and plan."""
        super().reshape(bottom, top)
        axis = self.axis(self.settings.axis, bottom[0])
        require_labels(self, bottom[0], bottom[1], axis)
        is_mean = self.normalization() in ("valid", "full") or bottom[1].count == bottom[0].shape[0]
        self.largest_loss = _LARGEST_LOSS if is_mean else 0.0
        self.probabilities = top[1] if len(top) > 1 else self.own_probabilities
        self.probabilities.reshape(bottom[0].shape)
        op = SoftmaxLoss(axis, self.normalization(), self.ignore_label())
        self.kernel = self.plan(
            op, bottom[0].data, bottom[1].data, self.probabilities.data, top[0].data
        )

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        self.kernel.forward(bottom[0].data, bottom[1].data, self.probabilities.data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the scores' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            p = top[1] if len(top) > 1 else self.own_probabilities
            self.kernel.backward(p.data, bottom[1].data, top[0].diff, bottom[0].diff)
