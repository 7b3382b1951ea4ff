"""SoftmaxWithLoss: softmax and multinomial logistic loss in one numerically stable layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs
from minicaffe.layers.loss import NormalizedLossLayer, probability_layer, require_labels
from minicaffe.layers.registry import register
from minicaffe.layers.scoring import Scoring
from minicaffe.ops.softmax import SoftmaxLoss
from minicaffe.schema import LayerParameter
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
    set by loss_param { normalization }. dx = (softmax(x) - onehot(label)) / Z. In loss_param:

    * normalization: PRE_FIXED (R-FCN, Intel) sets Z to pre_fixed_normalizer;
    * class_weighting, one for each class, with weight_by_label_freqs: true (SegNet, ENet), or
      class_weight, multiply the losses of the labels of a class; Z does not depend on them;
    * label_smoothing: e (Intel, NVCaffe) compares with 1 - e for the label and e / K for each other
      class, in place of 1 and 0.

    Differs from Caffe: a label that is not a class is an error; there it read foreign memory.
    Differs from Intel: the loss is that of the smoothed labels, as its gradient is.
    """

    tops = (1, 2)
    reads_tops = "values"  # the probabilities

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return the Softmax."""
        layer = probability_layer(param, "Softmax", param.top[1] if len(param.top) > 1 else "prob")
        if param.HasField("softmax_param"):
            layer.softmax_param.CopyFrom(param.softmax_param)
        return layer

    def scoring(self) -> Scoring:
        """Return how labels are compared; every Accuracy layer comes before."""
        return Scoring(self.settings.axis, self.ignore_label(), rank=math.inf)

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield what every layer does, and class weights that are switched off."""
        yield from super().unread_settings(param)
        if param.loss_param.class_weighting and not param.loss_param.weight_by_label_freqs:
            yield (
                "loss_param.class_weighting has no effect without weight_by_label_freqs: true. "
                "Add that, or remove it."
            )

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Create the blob of probabilities for the case that no top holds them."""
        self.own_probabilities = Blob(self.context.backend, "probabilities")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels and plan."""
        super().reshape(bottom, top)
        axis = self.axis(self.settings.axis, bottom[0])
        require_labels(self, bottom[0], bottom[1], axis)
        self.probabilities = top[1] if len(top) > 1 else self.own_probabilities
        self.probabilities.reshape(bottom[0].shape)
        smoothing = self.param.loss_param.label_smoothing
        self.require(
            0 <= smoothing < 1, f"label_smoothing: {smoothing:g} must be at least 0, less than 1"
        )
        weights, mode = self._class_weights(bottom[0].shape[axis]), self.normalization()
        has_one = mode == "batch_size" and bottom[1].count == bottom[0].shape[0]
        is_mean = not weights and (mode in ("valid", "full") or has_one)
        self.largest_loss = _LARGEST_LOSS if is_mean else 0.0
        op = SoftmaxLoss(axis, mode, self.ignore_label(), weights, smoothing)
        self.kernel = self.plan(
            op, bottom[0].data, bottom[1].data, self.probabilities.data, top[0].data
        )

    def _class_weights(self, n_classes: int) -> tuple[float, ...]:
        proto = self.param.loss_param
        given = proto.class_weighting if proto.weight_by_label_freqs else proto.class_weight
        weights = tuple(map(float, given))
        self.require(
            weights or not proto.weight_by_label_freqs,
            "weight_by_label_freqs: true needs class_weighting, one for each class",
        )
        self.require(
            len(weights) in (0, n_classes),
            f"loss_param gives {len(weights)} class weights for {n_classes} classes; give one for "
            "each",
        )
        return weights

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        self.kernel.forward(bottom[0].data, bottom[1].data, self.probabilities.data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the scores' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            p = top[1] if len(top) > 1 else self.own_probabilities
            self.kernel.backward(p.data, bottom[1].data, top[0].diff, bottom[0].diff)
