"""Nets whose output lists the objects in an image: SSD and YOLO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minicaffe.ops.backend import HostArray
from minicaffe.prediction.deployed_net import DeployedNet
from minicaffe.prediction.image_model import (
    ImageAnswer,
    ImageContent,
    ImageModel,
    PreparedImage,
    Task,
)
from minicaffe.prediction.pixel_values import Preparation

LISTED_COLUMNS = 7  # image, class, score, xmin, ymin, xmax, ymax


@dataclass(frozen=True)
class FoundObjects(ImageAnswer):
    """The objects in an image.

    Parameters
    ----------
    rows : ndarray, shape (M, 6)
        [class, score, xmin, ymin, xmax, ymax] of each, in pixels of the image.
    first_pixel : int
        Coordinate of the first row and column: VOC's files count from 1.
    """

    rows: HostArray
    first_pixel: int

    def above(self, least: float) -> HostArray:
        """Return the rows of objects whose score is not below `least`, by ascending score."""
        found = self.rows[self.rows[:, 1] >= least]
        return found[np.argsort(found[:, 1], kind="stable")]


class ObjectModel(ImageModel[FoundObjects]):
    """A trained net whose output lists objects, as DetectionOutput does.

    Parameters
    ----------
    net : DeployedNet
        With one input and one output of seven columns.
    labels : sequence of str
    preparation : Preparation
    """

    task: ClassVar[Task] = "detect"
    batches: ClassVar[bool] = False  # the number of rows depends on the values

    def __init__(self, net: DeployedNet, labels: Sequence[str], preparation: Preparation) -> None:
        super().__init__(net, labels)
        self._preparation, self._input = preparation, net.net.inputs[0].name
        self.answer_blobs = tuple(net.output_shapes)

    def prepare(self, image: ImageContent, where: str = "image") -> PreparedImage:
        """Return an image as the net takes it."""
        values, size = self._preparation(image, where)
        return PreparedImage({self._input: values[None]}, size)

    def answer(self, image: PreparedImage, values: Mapping[str, HostArray]) -> FoundObjects:
        """Return the objects; the net has their sides in units of the image's."""
        found = np.array(values[self.answer_blobs[0]][0, 0])
        found = found[found[:, 1] >= 0, 1:]
        rows, columns = image.size
        found[:, 2:] *= (columns, rows) * 2
        # These nets are trained with the corners as VOC's files have them.
        return FoundObjects(found, first_pixel=1)


def lists_objects(net: DeployedNet) -> bool:
    """Return whether a net takes images and gives rows of `LISTED_COLUMNS`."""
    inputs, outputs = list(net.input_shapes.values()), list(net.output_shapes.values())
    ranks = [[len(shape) for shape in shapes] for shapes in (inputs, outputs)]
    return ranks == [[4], [4]] and outputs[0][3] == LISTED_COLUMNS
