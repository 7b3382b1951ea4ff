"""Nets that find objects in images: those that list them, and those that score regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from minicaffe.cli.options.preprocessing import PreprocessingArguments
from minicaffe.data.image import Pixels, read_image, resize, resize_by_sides
from minicaffe.errors import NetError, UsageError
from minicaffe.ops.backend import HostArray
from minicaffe.pixel_boxes import cut_to_image, decoded_boxes, suppressed
from minicaffe.pycaffe.classifier import Preprocessing, PreprocessingNet

_LISTED_COLUMNS = 7  # image, class, score, xmin, ymin, xmax, ymax
_REGION_COLUMNS = 5  # image, x1, y1, x2, y2
_REGION_INPUTS = ["data", "im_info"]
_REGION_BLOBS = ("rois", "cls_prob", "bbox_pred")
_REGION_OVERLAP = 0.3  # of objects of a class, as in py-faster-rcnn's tests
_SHORT_SIDE, _MAX_SIZE = 600, 1000


@dataclass(frozen=True)
class RegionSettings:
    """What the flags say about a net that scores regions; None where they say nothing.

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


class ObjectNet(Protocol):
    """A net that finds the objects of an image."""

    # Coordinate of the first row and column: VOC's files count from 1.
    first_pixel: ClassVar[int]

    def objects_in(self, path: str) -> HostArray:
        """Return rows [class, score, xmin, ymin, xmax, ymax] in pixels of the image, (M, 6)."""


def open_object_net(
    model: str, weights: str, preprocessing: PreprocessingArguments, settings: RegionSettings
) -> ObjectNet:
    """Read a deploy net and its weights.

    Raises
    ------
    NetError
        If its inputs and outputs are of neither kind.
    UsageError
        If settings for regions are given for a net without them.
    """
    net = PreprocessingNet(model, weights, Preprocessing(**preprocessing))
    if _scores_regions(net):
        return RegionNet(net, settings)
    if not _lists_objects(net):
        inputs, outputs = (
            ", ".join(f"{name} {tuple(net.blobs[name].shape)}" for name in names)
            for names in (net.inputs, net.outputs)
        )
        raise NetError(
            f"{model}: needs one input for images, and one output of {_LISTED_COLUMNS} columns, as "
            "DetectionOutput has; or the inputs data and im_info (1, 3), and the blobs rois (R, 5),"
            " cls_prob (R, K) and bbox_pred (R, 4 K or 8), as Faster R-CNN and R-FCN have. The "
            f"inputs are {inputs}; the outputs are {outputs}"
        )
    given = [name for name, value in vars(settings).items() if value is not None]
    if given:
        raise UsageError(
            f"--{given[0]} has no effect on {model}, which lists objects itself; it is for nets "
            "with the inputs data and im_info"
        )
    return ListingNet(net)


def _lists_objects(net: PreprocessingNet) -> bool:
    """Return whether a net takes images and gives rows of `_LISTED_COLUMNS`."""
    shapes = [[net.blobs[name].shape for name in names] for names in (net.inputs, net.outputs)]
    ranks = [[len(shape) for shape in end] for end in shapes]
    return ranks == [[4], [4]] and shapes[1][0][3] == _LISTED_COLUMNS


def _scores_regions(net: PreprocessingNet) -> bool:
    """Return whether a net has the inputs and blobs of Faster R-CNN or R-FCN."""
    if list(net.inputs) != _REGION_INPUTS or not set(_REGION_BLOBS) <= set(net.blobs):
        return False
    info = tuple(net.blobs["im_info"].shape)
    shapes = [tuple(net.blobs[name].shape) for name in _REGION_BLOBS]
    if info != (1, 3) or any(len(shape) < 2 or set(shape[2:]) - {1} for shape in shapes):
        return False
    columns, n_classes, codes = (shape[1] for shape in shapes)
    return columns == _REGION_COLUMNS and codes in (4 * n_classes, 8)


class ListingNet:
    """A net whose output lists objects, as DetectionOutput does: SSD and YOLO.

    Each image is resized to the net's input.
    """

    # These nets are trained with the corners as VOC's files have them.
    first_pixel: ClassVar[int] = 1

    def __init__(self, net: PreprocessingNet) -> None:
        self._net = net

    def objects_in(self, path: str) -> HostArray:
        """Return rows [class, score, xmin, ymin, xmax, ymax] in pixels of the image, (M, 6)."""
        net, in_ = self._net, self._net.inputs[0]
        _, channels, height, width = net.blobs[in_].shape
        image = read_image(path, channels == 3)
        rows, columns = image.shape[1:]
        _feed(net, in_, resize(image, height, width))
        found = np.array(net.forward()[net.outputs[0]][0, 0])
        found = found[found[:, 1] >= 0, 1:]
        found[:, 2:] *= (columns, rows) * 2
        return found


class RegionNet:
    """A net that proposes regions, and scores and corrects them: Faster R-CNN and R-FCN.

    Parameters
    ----------
    net : PreprocessingNet
        With the inputs `data` (1, 3, H, W) and `im_info` (1, 3), and the blobs `rois` (R, 5),
        `cls_prob` (R, K) and `bbox_pred` (R, 4 K), or (R, 8) whose last four columns hold for all
        classes. The last two may have more axes, of size 1.
    settings : RegionSettings

    Notes
    -----
    As the tests of py-faster-rcnn: the corners of each class are decoded in the image's own
    pixels, cut to the image, and suppressed where they overlap a better one of the class.
    """

    first_pixel: ClassVar[int] = 0

    def __init__(self, net: PreprocessingNet, settings: RegionSettings) -> None:
        self._net = net
        self._short_side = settings.short_side or _SHORT_SIDE
        self._max_size = settings.max_size or _MAX_SIZE
        self._stds = np.array(settings.bbox_stds or (1.0,) * 4)

    @np.errstate(all="ignore")  # the boxes of a diverged net
    def objects_in(self, path: str) -> HostArray:
        """Return rows [class, score, xmin, ymin, xmax, ymax] in pixels of the image, (M, 6)."""
        net = self._net
        image = read_image(path, net.blobs["data"].shape[1] == 3)
        scale, resized = resize_by_sides(image, self._short_side, self._max_size)
        _feed(net, "data", resized)
        net.blobs["im_info"].data[...] = *resized.shape[1:], scale
        net.forward()
        regions, scores, codes = (self._values(name) for name in _REGION_BLOBS)
        n_classes = scores.shape[1]
        # (R, K, 4), or (R, 2, 4) of which the second one holds for all classes.
        codes = codes.reshape(len(codes), -1, 4) * self._stds
        boxes = decoded_boxes(regions[:, None, 1:] / scale, codes)
        boxes = cut_to_image(boxes, *image.shape[1:])
        found = [
            self._of_class(label, scores[:, label], boxes[:, min(label, boxes.shape[1] - 1)])
            for label in range(1, n_classes)
        ]
        return np.concatenate([np.zeros((0, 6)), *found])

    def _values(self, name: str) -> HostArray:
        """Return the values of a blob, (R, columns), float64."""
        values: HostArray = self._net.blobs[name].data.astype(np.float64)
        return values.reshape(values.shape[:2])

    def _of_class(self, label: int, scores: HostArray, boxes: HostArray) -> HostArray:
        """Return the rows of a class, by descending score."""
        order = np.argsort(-scores, kind="stable")
        kept = order[suppressed(boxes[order], _REGION_OVERLAP)]
        return np.column_stack([np.full(len(kept), label), scores[kept], boxes[kept]])


def _feed(net: PreprocessingNet, in_: str, image: Pixels) -> None:
    """Reshape an input of a net to an image, (channels, rows, columns), and fill it."""
    net.blobs[in_].reshape(1, *image.shape)
    net.transformer.inputs = {**net.transformer.inputs, in_: (1, *image.shape)}
    rgb = image[::-1].transpose(1, 2, 0) / np.float32(255)
    net.blobs[in_].data[...] = net.transformer.preprocess(in_, rgb)
