"""Nets that give each pixel of an image a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minicaffe.data.image import Pixels
from minicaffe.data.pixels.resizing import resize_nearest
from minicaffe.errors import NetError
from minicaffe.ops.backend import HostArray, Shape
from minicaffe.prediction.deployed_net import DeployedNet
from minicaffe.prediction.image_model import (
    ImageAnswer,
    ImageContent,
    ImageModel,
    PreparedImage,
    Task,
)
from minicaffe.prediction.pixel_values import Preparation

_MOST_CLASSES = 256  # of an image file with a palette


@dataclass(frozen=True)
class PixelClasses(ImageAnswer):
    """The classes of the pixels of an image.

    Parameters
    ----------
    classes : ndarray of uint8, shape (1, rows, columns)
        Of the image's own size.
    """

    classes: Pixels


class MaskModel(ImageModel[PixelClasses]):
    """A trained net that segments images.

    Parameters
    ----------
    net : DeployedNet
        With one input and one output, (N, classes, rows, columns), or a map of classes, (N, 1,
        rows, columns).
    labels : sequence of str
    preparation : Preparation

    Attributes
    ----------
    n_classes : int
        Of a map of classes, the largest that it can have.
    """

    task: ClassVar[Task] = "segment"

    def __init__(self, net: DeployedNet, labels: Sequence[str], preparation: Preparation) -> None:
        super().__init__(net, labels)
        self._preparation, self._input = preparation, net.net.inputs[0].name
        ((output, shape),) = net.output_shapes.items()
        self.answer_blobs = (output,)
        self.n_classes = shape[1] if shape[1] > 1 else _MOST_CLASSES

    def prepare(self, image: ImageContent, where: str = "image") -> PreparedImage:
        """Return an image as the net takes it."""
        values, size = self._preparation(image, where)
        return PreparedImage({self._input: values[None]}, size)

    def answer(self, image: PreparedImage, values: Mapping[str, HostArray]) -> PixelClasses:
        """Return the class of each pixel; those of the net are resized to the image."""
        (scores,) = values[self.answer_blobs[0]]
        found = scores.argmax(axis=0)[None] if len(scores) > 1 else scores
        return PixelClasses(resize_nearest(np.asarray(found, np.uint8), *image.size))


def require_mask_output(net: DeployedNet) -> None:
    """Raise a NetError unless the only output of a net is a score or class for each pixel."""
    outputs = net.output_shapes
    shape = next(iter(outputs.values())) if len(outputs) == 1 else ()
    if len(shape) != 4 or shape[1] > _MOST_CLASSES or not _is_of_input(shape, net):
        found = ", ".join(f"{name} {shape}" for name, shape in outputs.items())
        raise NetError(
            f"{net.path}: needs one output of shape (1, classes, rows, columns) with at most "
            f"{_MOST_CLASSES} classes; it has {found}. Use the deploy net"
        )


def _is_of_input(shape: Shape, net: DeployedNet) -> bool:
    """Return whether an output has a row for each image of the input."""
    return shape[0] == net.net.inputs[0].shape[0]
