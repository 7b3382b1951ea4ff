"""DetectionOutput."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from minicaffe.data.annotations.detection_files import DetectionFiles
from minicaffe.errors import DataError
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.detection.prior_blobs import (
    code_type,
    count_priors,
    require_per_prior,
    suppression,
)
from minicaffe.layers.registry import register
from minicaffe.log import logger
from minicaffe.ops.detection.boxes import BoxCode
from minicaffe.ops.detection.detection_output import DetectionOutput as DetectionOutputOp
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import DetectionOutputParameter

_ROW = 7
_SAVING = ("output_directory", "label_map_file", "name_size_file")


@register("DetectionOutput")
class DetectionOutput(Layer[DetectionOutputParameter]):
    """Decode boxes, suppress those that overlap a better one, and list what is left.

    Shapes: loc (N, 4 * P * L), conf (N, P * K), prior (1, 2, 4 * P)[, arm_conf (N, 2 * P)[, arm_loc
    (N, 4 * P)]] -> rows (1, 1, M, 7)

    Notes
    -----
    P is the number of prior boxes, K that of classes, L 1 with share_location, else K; conf are
    probabilities. A row of the top is [image, class, score, xmin, ymin, xmax, ymax], by image,
    class and descending score; boxes are in units of the image, and may reach beyond it. If nothing
    is found, the top has a row [image, -1, ..., -1] for each image. M is known only when the net
    runs.

    Of each class but the background, the boxes with a score above confidence_threshold are taken,
    at most nms_param's top_k of them, and one is dropped if its overlap with a better one is above
    nms_threshold. With eta below 1, this threshold is multiplied by eta after each box that is
    kept, as long as it is above 0.5. keep_top_k limits the boxes of an image.

    The fourth and fifth bottom are those of RefineDet: a prior whose second arm_conf is below
    objectness_score is background, and arm_loc moves the priors. In SSD the fourth bottom is the
    image to draw on, if visualize is set; nothing is drawn here.

    save_output_param writes the detections of every num_test_image images to files for the programs
    of VOC, COCO or ILSVRC (output_format); it needs output_directory, label_map_file and
    name_size_file. Other files in the folder stay.

    Differs from SSD: background_label_id: -1 may be combined with share_location; there it stopped
    the program. Equal scores have an order.

    References
    ----------
    From the forks SSD and RefineDet.
    """

    role = "output"
    bottoms = (3, 5)
    without_gradient = (0, 1, 2, 3, 4)

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield sentences, also about save_output_param, which needs three files."""
        yield from super().unread_settings(param)
        save = param.detection_output_param.save_output_param
        missing = [name for name in _SAVING if not getattr(save, name)]
        if save.ListFields() and missing:
            yield (
                "detection_output_param.save_output_param has no effect without "
                f"{', '.join(missing)}."
            )

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Open the files of detections, if some are asked for."""
        save = self.settings.save_output_param
        self._files: DetectionFiles | None = None
        if not all(getattr(save, name) for name in _SAVING):
            return
        absent = [f for f in (save.label_map_file, save.name_size_file) if not Path(f).exists()]
        if absent:
            logger.warning(
                f"{self.where}: save_output_param: {absent[0]} does not exist; detections are not "
                "written to files."
            )
            return
        try:
            self._files = DetectionFiles(save, self._background())
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes and plan; the top has one row until the net runs."""
        proto = self.settings
        self.require(proto.num_classes > 0, "num_classes is missing or 0")
        images, priors = bottom[0].shape[0] if bottom[0].shape else 0, count_priors(self, bottom[2])
        codes = 1 if proto.share_location else proto.num_classes
        values = [codes * 4, proto.num_classes]
        for blob, n in zip((*bottom[:2], *self._arm(bottom)), (*values, 2, 4), strict=False):
            require_per_prior(self, blob, images, priors, n)
        op = DetectionOutputOp(
            n_classes=proto.num_classes,
            background=self._background(),
            shares_location=proto.share_location,
            code=BoxCode(code_type(proto.code_type), proto.variance_encoded_in_target),
            suppression=suppression(self, proto.nms_param),
            min_score=proto.confidence_threshold
            if proto.HasField("confidence_threshold")
            else None,
            keep_top_k=proto.keep_top_k if proto.keep_top_k > -1 else None,
            min_objectness=proto.objectness_score,
        )
        top[0].reshape((1, 1, 1, _ROW))
        self.kernel = self.plan(op, *(blob.data for blob in bottom))

    def _background(self) -> int | None:
        label = self.settings.background_label_id
        return label if label > -1 else None

    def _arm(self, bottom: Blobs) -> Blobs:
        """Return RefineDet's bottoms; the image that SSD would draw on is not one of them."""
        return () if self.settings.visualize and len(bottom) == 4 else bottom[3:]

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Select boxes, reshape the top and overwrite it."""
        arm = [blob.data for blob in self._arm(bottom)]
        arm_conf, arm_loc = (arm[k] if k < len(arm) else None for k in (0, 1))
        loc, conf, prior = (blob.data for blob in bottom[:3])
        rows = self.kernel.choose(loc, conf, prior, arm_conf, arm_loc)
        top[0].reshape((1, 1, rows, _ROW))
        self.kernel.forward(top[0].data)
        if self._files is not None:
            self._files.add(top[0].data.get()[0, 0], bottom[0].shape[0])
