"""LabelSpecificAdd."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs
from minicaffe.layers.face.annealed import AnnealedLayer
from minicaffe.layers.loss import require_label_each
from minicaffe.layers.registry import register
from minicaffe.layers.without_labels import layer_without_labels
from minicaffe.ops.face.label_add import LabelAdd
from minicaffe.ops.layout import Copy
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import LabelSpecificAddParameter


@register("LabelSpecificAdd")
class LabelSpecificAdd(AnnealedLayer[LabelSpecificAddParameter]):
    """Add a margin to the score of the true class while training (AM-Softmax, CosFace).

    Shapes: x (N, K...), labels (N,) -> y (N, K...)[, bias (1,)]

    Notes
    -----
    y[n, l] = x[n, l] + bias for the label l of sample n if x[n, l] > -bias; all else is copied, as
    is the gradient. bias is negative as a rule. In the TEST phase everything is copied, unless
    transform_test: true. With bias_base, bias = bias_base + (1 + bias_gamma i)^bias_power - 1, cut
    to bias_min ... bias_max, where i counts forward passes from `iteration` on.

    Differs from caffe-windows (happynear): transform_test works in the TEST phase; there it had an
    effect in the TRAIN phase only, which is none.

    References
    ----------
    Wang et al., "Additive margin softmax for face verification", 2018.
    """

    bottoms = 2
    tops = (1, 2)
    in_place = True
    without_gradient = (1,)
    reads_bottoms = False

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return a copy of the bottom, a Power layer, because the true class is not known."""
        return layer_without_labels(param, "Power")

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read when the layer is active."""
        self.is_active = self.is_training or self.settings.transform_test
        self.start_at(self.settings.iteration)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops their shapes and plan."""
        x, labels = bottom
        require_label_each(self, x, labels)
        top[0].reshape(x.shape)
        for blob in top[1:]:
            blob.reshape((1,))
        self.copy = self.plan(Copy(), x.data, top[0].data)
        self.kernel = self.plan(LabelAdd(), x.data, labels.data, self.number, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops and count the pass."""
        self.announce(self._bias() if self.is_active else 0.0, top[1] if len(top) > 1 else None)
        if self.is_active:
            self.iteration += 1
            x, labels = (blob.data for blob in bottom)
            self.kernel.forward(x, labels, self.number, top[0].data)
        elif bottom[0] is not top[0]:
            self.copy.forward(bottom[0].data, top[0].data)

    def _bias(self) -> float:
        proto = self.settings
        if not proto.HasField("bias_base"):
            return proto.bias
        grown: float = (1 + proto.bias_gamma * self.iteration) ** proto.bias_power - 1
        return min(max(proto.bias_base + grown, proto.bias_min), proto.bias_max)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0] and bottom[0] is not top[0]:
            self.copy.forward(top[0].diff, bottom[0].diff)
