"""Nets that propose regions of an image, and score and correct them: Faster R-CNN and R-FCN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minicaffe.data.image import image_pixels
from minicaffe.data.pixels.resizing import resize_by_sides, scale_by_sides
from minicaffe.ops.backend import HostArray
from minicaffe.pixel_boxes import cut_to_image, decoded_boxes, suppressed
from minicaffe.prediction.deployed_net import DeployedNet
from minicaffe.prediction.image_model import ImageContent, ImageModel, PreparedImage, Task
from minicaffe.prediction.objects import FoundObjects
from minicaffe.prediction.pixel_values import PixelValues

_REGION_COLUMNS = 5  # image, x1, y1, x2, y2
_REGION_INPUTS = ["data", "im_info"]
_REGION_BLOBS = ("rois", "cls_prob", "bbox_pred")
_REGION_OVERLAP = 0.3  # of objects of a class, as in py-faster-rcnn's tests
_SHORT_SIDE, _MAX_SIZE = 600, 1000


@dataclass(frozen=True)
class RegionSettings:
    """What the user says about a net that scores regions; None where nothing is said.

    Parameters
    ----------
    short_side, max_size : int or None
        Length of the short side of resized images, and the largest length of the long one, pixels.
    bbox_stds : tuple of float or None
        Factors of the four numbers that the net predicts for a box.
    """

    short_side: int | None = None
    max_size: int | None = None
    bbox_stds: tuple[float, ...] | None = None


class RegionModel(ImageModel[FoundObjects]):
    """A trained net that proposes regions, and scores and corrects them.

    Parameters
    ----------
    net : DeployedNet
        With the inputs `data` (1, 3, H, W) and `im_info` (1, 3), and the blobs `rois` (R, 5),
        `cls_prob` (R, K) and `bbox_pred` (R, 4 K), or (R, 8) whose last four columns hold for all
        classes. The last two may have more axes, of size 1.
    labels : sequence of str
    values : PixelValues
    settings : RegionSettings

    Notes
    -----
    As the tests of py-faster-rcnn: the corners of each class are decoded in the image's own
    pixels, cut to the image, and suppressed where they overlap a better one of the class.
    """

    task: ClassVar[Task] = "detect"
    batches: ClassVar[bool] = False
    answer_blobs = _REGION_BLOBS

    def __init__(
        self,
        net: DeployedNet,
        labels: Sequence[str],
        values: PixelValues,
        settings: RegionSettings,
    ) -> None:
        super().__init__(net, labels)
        self._values = values
        self._channels = net.input_shapes["data"][1]
        self._short_side = settings.short_side or _SHORT_SIDE
        self._max_size = settings.max_size or _MAX_SIZE
        self._stds = np.array(settings.bbox_stds or (1.0,) * 4)

    def prepare(self, image: ImageContent, where: str = "image") -> PreparedImage:
        """Return an image as the net takes it: resized by its short side."""
        pixels = image_pixels(image, self._channels == 3, where)
        scale, resized = resize_by_sides(pixels, self._short_side, self._max_size)
        info = np.array([[*resized.shape[1:], scale]], np.float32)
        inputs = {"data": self._values.of_pixels(resized)[None], "im_info": info}
        return PreparedImage(inputs, (pixels.shape[1], pixels.shape[2]))

    @np.errstate(all="ignore")  # the boxes of a diverged net
    def answer(self, image: PreparedImage, values: Mapping[str, HostArray]) -> FoundObjects:
        """Return the objects of all classes."""
        regions, scores, codes = (_table(values[name]) for name in _REGION_BLOBS)
        scale = scale_by_sides(image.size, self._short_side, self._max_size)
        # (R, K, 4), or (R, 2, 4) of which the second one holds for all classes.
        codes = codes.reshape(len(codes), -1, 4) * self._stds
        boxes = decoded_boxes(regions[:, None, 1:] / scale, codes)
        boxes = cut_to_image(boxes, *image.size)
        found = [
            _of_class(label, scores[:, label], boxes[:, min(label, boxes.shape[1] - 1)])
            for label in range(1, scores.shape[1])
        ]
        return FoundObjects(np.concatenate([np.zeros((0, 6)), *found]), first_pixel=0)


def scores_regions(net: DeployedNet) -> bool:
    """Return whether a net has the inputs and blobs of Faster R-CNN or R-FCN."""
    blobs = net.net.blobs
    if list(net.input_shapes) != _REGION_INPUTS or not set(_REGION_BLOBS) <= set(blobs):
        return False
    shapes = [blobs[name].shape for name in _REGION_BLOBS]
    if net.input_shapes["im_info"] != (1, 3):
        return False
    if any(len(shape) < 2 or set(shape[2:]) - {1} for shape in shapes):
        return False
    columns, n_classes, codes = (shape[1] for shape in shapes)
    return columns == _REGION_COLUMNS and codes in (4 * n_classes, 8)


def _table(values: HostArray) -> HostArray:
    """Return the values of a blob, (R, columns), float64."""
    return values.astype(np.float64).reshape(values.shape[:2])


def _of_class(label: int, scores: HostArray, boxes: HostArray) -> HostArray:
    """Return the rows of a class, by descending score."""
    order = np.argsort(-scores, kind="stable")
    kept = order[suppressed(boxes[order], _REGION_OVERLAP)]
    return np.column_stack([np.full(len(kept), label), scores[kept], boxes[kept]])
