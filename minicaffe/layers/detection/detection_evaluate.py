"""DetectionEvaluate."""

from __future__ import annotations

from collections.abc import Iterator

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.detection.detection_evaluate import DetectionEvaluate as DetectionEvaluateOp
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import DetectionEvaluateParameter

_FOUND, _TRUE, _ROW = 7, 8, 5


@register("DetectionEvaluate")
class DetectionEvaluate(Layer[DetectionEvaluateParameter]):
    """Compare detections with true boxes, for the mean average precision of a solver's test.

    Shapes: detections (1, 1, D, 7), truth (1, 1, G, 8) -> rows (1, 1, M, 5)

    Notes
    -----
    detections are rows of DetectionOutput, truth rows [image, class, instance, xmin, ymin, xmax,
    ymax, difficult] of AnnotatedData. The top has a row [-1, class, number of true boxes, -1, -1]
    for each class but the background, then a row [image, class, score, true positive, false
    positive] for each detection. A detection is a true positive if the true box with which its
    overlap is largest has at least overlap_threshold and was not found with a higher score. One
    whose best box is difficult is neither, unless evaluate_difficult_gt is set; it is by default. A
    solver with ``eval_type: "detection"`` computes the precision from the rows of all batches.

    References
    ----------
    From the fork SSD.
    """

    role = "output"
    bottoms = 2
    without_gradient = (0, 1)
    evaluates_detections = True

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield sentences, also about the sizes of images, which overlaps do not need."""
        yield from super().unread_settings(param)
        for name in ("name_size_file", "resize_param"):
            if param.detection_evaluate_param.HasField(name):
                yield (
                    f"detection_evaluate_param.{name} has no effect: overlaps are those of boxes "
                    "in units of the image. SSD makes both sides of a box one pixel longer."
                )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes and plan; the top has one row until the net runs."""
        proto = self.settings
        self.require(proto.num_classes > 1, "num_classes is missing, or there is no object")
        self.require(
            proto.overlap_threshold > 0,
            f"overlap_threshold: {proto.overlap_threshold:g}; it must be above 0",
        )
        for blob, length in zip(bottom, (_FOUND, _TRUE), strict=True):
            self.require_shape(
                len(blob.shape) == 4 and (*blob.shape[:2], blob.shape[3]) == (1, 1, length),
                f'bottom "{blob.name}" {blob.shape} must be (1, 1, boxes, {length})',
            )
        op = DetectionEvaluateOp(
            n_classes=proto.num_classes,
            background=proto.background_label_id,
            overlap_threshold=proto.overlap_threshold,
            counts_difficult=proto.evaluate_difficult_gt,
        )
        top[0].reshape((1, 1, 1, _ROW))
        self.kernel = self.plan(op, *(blob.data for blob in bottom))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compare, reshape the top and overwrite it."""
        rows = self.kernel.compare(*(blob.data for blob in bottom))
        top[0].reshape((1, 1, rows, _ROW))
        self.kernel.forward(top[0].data)
