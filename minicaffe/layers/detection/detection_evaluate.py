"""DetectionEvaluate."""

from __future__ import annotations

from pathlib import Path

from minicaffe.data.annotations.image_sizes import read_image_sizes
from minicaffe.layers.base import Blobs, Layer, State
from minicaffe.layers.registry import register
from minicaffe.log import logger
from minicaffe.ops.detection.detection_evaluate import DetectionEvaluate as DetectionEvaluateOp
from minicaffe.random import checked_step
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import DetectionEvaluateParameter

_FOUND, _ROW = 7, 5
# Values of a true box: of SSD's rows, and of YOLO's lists.
_ANNOTATION, _LISTED = 8, 5


@register("DetectionEvaluate")
class DetectionEvaluate(Layer[DetectionEvaluateParameter]):
    """Compare detections with true boxes, for the mean average precision of a solver's test.

    Shapes: detections (1, 1, D, 7), truth (1, 1, G, 8) or (N, 1, G, 5) -> rows (1, 1, M, 5)

    Notes
    -----
    detections are rows of DetectionOutput, truth rows [image, class, instance, xmin, ymin, xmax,
    ymax, difficult] of AnnotatedData, or its lists of YOLO labels. The top has a row [-1, class,
    number of true boxes, -1, -1] for each class but the background, then a row [image, class,
    score, true positive, false positive] for each detection. A detection is a true positive if the
    true box with which its overlap is largest has at least overlap_threshold and was not found with
    a higher score. One whose best box is difficult is neither, unless evaluate_difficult_gt is set;
    it is by default. A solver with ``eval_type: "detection"`` computes the precision from the rows
    of all batches.

    With name_size_file, a list of `name height width` in the order of the test data, boxes are
    compared in pixels of the images, and their sides count one pixel longer, as in PASCAL VOC.
    resize_param is that of the data, if it pads images.

    References
    ----------
    From the fork SSD.
    """

    role = "output"
    bottoms = 2
    without_gradient = (0, 1)

    @classmethod
    def deployed(cls, param: LayerParameter) -> None:
        """Return None: it needs labels."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the sizes of the images."""
        path = self.settings.name_size_file
        self._sizes: list[tuple[int, int]] = []
        self._next = 0  # the image in the list of sizes with which the next batch begins
        if not path:
            return
        if not Path(path).exists():
            logger.warning(
                f"{self.where}: name_size_file: {path} does not exist; overlaps are those of boxes "
                "in units of the image."
            )
            return
        self._sizes = [(size.height, size.width) for size in read_image_sizes(path)]

    def state(self) -> State:
        """Return the place in the list of sizes."""
        return {"image": self._next} if self._sizes else {}

    def restore(self, state: State) -> None:
        """Go on at a place in the list of sizes."""
        self._next = checked_step(state.get("image", 0))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes and plan; the top has one row until the net runs."""
        proto = self.settings
        self.require(proto.num_classes > 1, "num_classes is missing, or there is no object")
        self.require(
            proto.overlap_threshold > 0,
            f"overlap_threshold: {proto.overlap_threshold:g}; it must be above 0",
        )
        found, truth = bottom
        self.require_shape(
            len(found.shape) == 4 and (*found.shape[:2], found.shape[3]) == (1, 1, _FOUND),
            f'bottom "{found.name}" {found.shape} must be (1, 1, boxes, {_FOUND})',
        )
        self.require_shape(
            len(truth.shape) == 4
            and truth.shape[1] == 1
            and (truth.shape[3] == _LISTED or truth.shape[::3] == (1, _ANNOTATION)),
            f'bottom "{truth.name}" {truth.shape} must be (1, 1, boxes, {_ANNOTATION}) or '
            f"(images, 1, boxes, {_LISTED})",
        )
        op = DetectionEvaluateOp(
            n_classes=proto.num_classes,
            background=proto.background_label_id,
            overlap_threshold=proto.overlap_threshold,
            counts_difficult=proto.evaluate_difficult_gt,
            padded_size=self._padded_size(),
        )
        top[0].reshape((1, 1, 1, _ROW))
        self.kernel = self.plan(op, *(blob.data for blob in bottom))

    def _padded_size(self) -> tuple[int, int] | None:
        """Return the size that images are padded to before the net; None if they are not."""
        policy = self.settings.resize_param
        is_padded = policy.resize_mode == policy.FIT_LARGE_SIZE_AND_PAD
        return (policy.height, policy.width) if is_padded else None

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compare, reshape the top and overwrite it."""
        found, truth = bottom
        rows = self.kernel.compare(found.data, truth.data, self._sizes_of_batch(bottom))
        top[0].reshape((1, 1, rows, _ROW))
        self.kernel.forward(top[0].data)

    def _sizes_of_batch(self, bottom: Blobs) -> list[tuple[int, int]]:
        """Return the sizes of the images of a batch, which the list has in the order of the data.

        A batch has as many images as the rows name.
        """
        if not self._sizes:
            return []
        truth = bottom[1]
        if truth.shape[3] == _LISTED:
            n = truth.shape[0]
        else:
            n = 1 + int(max(blob.data.get()[..., 0].max(initial=0) for blob in bottom))
        sizes = [self._sizes[(self._next + k) % len(self._sizes)] for k in range(n)]
        self._next = (self._next + n) % len(self._sizes)
        return sizes
