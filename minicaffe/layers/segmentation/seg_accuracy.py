"""SegAccuracy."""

from __future__ import annotations

import numpy as np

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.loss import require_labels
from minicaffe.layers.registry import register
from minicaffe.layers.scoring import Scoring
from minicaffe.ops.segmentation.seg_accuracy import PixelCounts
from minicaffe.ops.segmentation.seg_accuracy import SegAccuracy as SegAccuracyOp
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import SegAccuracyParameter


@register("SegAccuracy")
class SegAccuracy(Layer[SegAccuracyParameter]):
    """Compute the pixel accuracy, the mean recall and the mean IoU of a segmentation.

    Shapes: x (N, K, H, W), labels (N, 1, H, W) -> measures (1, 1, 1, 3)

    Notes
    -----
    The measures are the share of pixels that are predicted right; the mean, over the classes that
    the labels have, of the share of their pixels that is found; and the mean over all K classes of
    the intersection over union, where a class that is neither true nor predicted counts as 1. Of
    equal scores the last class is predicted. Pixels with one of the labels `ignore_label` do not
    count. With reset: false the pixels of all batches since the net was built are counted together;
    otherwise a batch with few classes has a high mean IoU.

    Source: DeepLab (Chen et al., "DeepLab: Semantic Image Segmentation with Deep Convolutional
    Nets, Atrous Convolution, and Fully Connected CRFs", TPAMI 2018), PSPNet.
    """

    role = "output"
    bottoms = 2
    without_gradient = (0, 1)

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    def scoring(self) -> Scoring | None:
        """Return how labels are compared, if at most one label is ignored."""
        ignored = self.settings.ignore_label
        return Scoring(1, ignored[0] if ignored else None, rank=1) if len(ignored) < 2 else None

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Begin to count."""
        self._counts: PixelCounts = np.zeros((0, 0), np.int64)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels and plan."""
        self.require_shape(
            len(bottom[0].shape) == 4,
            f'bottom "{bottom[0].name}" must be (N, K, H, W), it is {bottom[0].shape}',
        )
        require_labels(self, bottom[0], bottom[1], 1)
        classes = bottom[0].shape[1]
        if len(self._counts) != classes:
            self._counts = np.zeros((classes, classes), np.int64)
        top[0].reshape((1, 1, 1, 3))
        op = SegAccuracyOp(tuple(self.settings.ignore_label))
        self.kernel = self.plan(op, bottom[0].data, bottom[1].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Count the pixels and overwrite the top."""
        if self.settings.reset:
            self._counts[...] = 0
        self.kernel.forward(bottom[0].data, bottom[1].data, self._counts, top[0].data)
