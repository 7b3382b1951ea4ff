"""YoloSeg and SegmentationEvaluate: masks beside the detections of YOLO."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.loss import LossLayer
from minicaffe.layers.registry import register
from minicaffe.ops.yolo.segmentation import MaskIou, MaskLoss
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import SegmentationEvaluateParameter, YoloSegParameter


@register("YoloSeg")
class YoloSeg(LossLayer[YoloSegParameter]):
    """Compute a squared loss of masks, one for each class.

    Shapes: x (N, C, H, W), t (N, C, H, W)[, counts (N, C)] -> loss ()

    Notes
    -----
    loss = sum of (object_scale * w * (sigmoid(x) - t))^2 / N; dx = object_scale * w *
    (sigmoid(x) - t) / N, which is not the loss's derivative. w is 1; with counts, the number of
    pixels of each class, those of a mask have w = 2 - k / (N H W - k), k their number in the batch.
    class_scale has no effect.
    """

    bottoms = (2, 3)
    without_gradient = (1, 2)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Refuse the variants that no file uses."""
        for field in ("use_logic_gradient", "use_hardsigmoid"):
            self.require(not getattr(self.settings, field), f"{field}: true is not supported")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes and plan."""
        super().reshape(bottom, top)
        require_masks(self, *bottom[:2])
        n, c = bottom[0].shape[:2]
        for counts in bottom[2:]:
            self.require_shape(
                counts.shape[:1] == (n,) and counts.count == n * c,
                f'bottom "{counts.name}" must have {c} counts for each of {n} images, it is '
                f"{counts.shape}",
            )
        inputs = (blob.data for blob in bottom)
        self.kernel = self.plan(MaskLoss(self.settings.object_scale), *inputs, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the loss."""
        self.kernel.forward([blob.data for blob in bottom], top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the scores' diff."""
        self.require_no_gradient(propagate_down)
        if propagate_down[0]:
            inputs = [blob.data for blob in bottom]
            self.kernel.backward(inputs, top[0].diff, bottom[0].diff)


@register("SegmentationEvaluate")
class SegmentationEvaluate(Layer[SegmentationEvaluateParameter]):
    """Compute the intersection over union of predicted and true masks, one for each class.

    Shapes: x (N, C, H, W), t (N, C, H, W) -> y (1, 1, 1, C)

    Notes
    -----
    A pixel belongs to a mask if its value is above threshold. A class without pixels counts as 1.
    """

    bottoms = 2
    without_gradient = (0, 1)

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs true masks."""

    role = "output"
    reads_bottoms = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes and plan."""
        x, t = bottom
        require_masks(self, x, t)
        self.require_shape(
            x.shape[1] == self.settings.num_classes,
            f'bottom "{x.name}" must have num_classes: {self.settings.num_classes} masks, it is '
            f"{x.shape}",
        )
        top[0].reshape((1, 1, 1, x.shape[1]))
        op = MaskIou(self.settings.threshold)
        self.kernel = self.plan(op, x.data, t.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)


def require_masks(layer: Layer, x: Blob, t: Blob) -> None:
    """Raise a ShapeError unless both blobs are (N, C, H, W) of one shape."""
    layer.require_shape(
        len(x.shape) == 4 and x.shape == t.shape,
        f'bottoms "{x.name}" {x.shape} and "{t.name}" {t.shape} must be (N, C, H, W) of one shape',
    )
