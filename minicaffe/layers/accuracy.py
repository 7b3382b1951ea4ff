"""Accuracy."""

from __future__ import annotations

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.loss import require_labels
from minicaffe.layers.registry import register
from minicaffe.layers.scoring import Scoring
from minicaffe.ops.accuracy import Accuracy as AccuracyOp
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import AccuracyParameter


@register("Accuracy")
class Accuracy(Layer[AccuracyParameter]):
    """Compute the top-k accuracy: how often the true class is among the top_k scores.

    Shapes: x (N, K, ...), labels (N, ...) -> accuracy ()[, per_class (K,)]

    Notes
    -----
    A tie counts against the prediction. Labels equal to ignore_label are ignored; the second top
    contains the accuracy over the samples of each class, 0 for a class without samples.

    Differs from SegNet: there the second top is (K, 1, 1, 1), and 1 for a class without samples.
    """

    role = "output"
    bottoms = 2
    tops = (1, 2)
    without_gradient = (0, 1)

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return top_k, if it is not 1."""
        return f"top {param.accuracy_param.top_k}" if param.accuracy_param.top_k > 1 else ""

    def scoring(self) -> Scoring:
        """Return how labels are compared; smaller top_k come first."""
        return Scoring(self.settings.axis, self._ignored(), rank=self.settings.top_k)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels and plan."""
        proto = self.settings
        axis = self.axis(proto.axis, bottom[0])
        require_labels(self, bottom[0], bottom[1], axis)
        classes = bottom[0].shape[axis]
        self.require(
            1 <= proto.top_k <= classes,
            f"top_k: {proto.top_k} must be 1 to the number of classes, {classes}",
        )
        top[0].reshape(())
        if len(top) > 1:
            top[1].reshape((classes,))
        op = AccuracyOp(axis, proto.top_k, self._ignored())
        tensors = (blob.data for blob in (*bottom, *top))
        self.kernel = self.plan(op, *tensors)

    def _ignored(self) -> int | None:
        proto = self.settings
        return proto.ignore_label if proto.HasField("ignore_label") else None

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops."""
        self.kernel.forward(*(blob.data for blob in (*bottom, *top)))
