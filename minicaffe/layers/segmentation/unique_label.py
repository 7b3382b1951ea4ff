"""UniqueLabel."""

from __future__ import annotations

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.segmentation.unique_labels import UniqueLabels
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import UniqueLabelParameter


@register("UniqueLabel")
class UniqueLabel(Layer[UniqueLabelParameter]):
    """List the different labels of each image.

    Shapes: labels (N, ...) -> y (N, max_labels, 1, 1)

    Notes
    -----
    Each label stands once, in rising order, then -1. Those of ignore_label are left out, those of
    force_label are added. If there are more than max_labels, the largest are left out. The layer is
    that of DeepLab and PSPNet.
    """

    without_gradient = (0,)

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        proto, labels = self.settings, bottom[0]
        self.require(proto.max_labels > 0, "max_labels is missing or 0; it must be at least 1")
        self.require_shape(labels.shape, f'bottom "{labels.name}" must have an axis of samples')
        top[0].reshape((labels.shape[0], proto.max_labels, 1, 1))
        op = UniqueLabels(tuple(proto.ignore_label), tuple(proto.force_label))
        self.kernel = self.plan(op, labels.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)
