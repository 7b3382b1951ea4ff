"""The base of trained nets that answer for images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, Generic, Literal, TypeAlias, TypeVar

import numpy as np

from minicaffe.data.image import Pixels
from minicaffe.data.preparation import Floats
from minicaffe.ops.backend import HostArray
from minicaffe.prediction.deployed_net import DeployedNet

Task: TypeAlias = Literal["classify", "detect", "segment"]
ImageContent: TypeAlias = bytes | Pixels


@dataclass(frozen=True)
class PreparedImage:
    """An image as a net takes it.

    Parameters
    ----------
    inputs : mapping of str to ndarray of float32
        The values of each input, of one sample: shape (1, ...).
    size : tuple of int
        Rows and columns of the image before.
    """

    inputs: Mapping[str, Floats]
    size: tuple[int, int]


@dataclass(frozen=True)
class ImageAnswer:
    """What a net says about an image; a subclass for each task has the values."""


AnswerT = TypeVar("AnswerT", bound=ImageAnswer, covariant=True)


class ImageModel(ABC, Generic[AnswerT]):
    """A trained net that answers for images.

    Parameters
    ----------
    net : DeployedNet
        Is closed with the model.
    labels : sequence of str
        Names of the classes, by number; may be empty, or lack the last ones.

    Attributes
    ----------
    task : {"classify", "detect", "segment"}
    answer_blobs : sequence of str
        The blobs whose values `answer` reads.
    batches : bool
        Whether several images can be computed at once, each a row of the inputs and of those blobs.

    Notes
    -----
    `prepare` and `answer` may be called from several threads at once; `predict`, as
    `DeployedNet.infer`, from one at a time.
    """

    task: ClassVar[Task]
    answer_blobs: Sequence[str]
    batches: ClassVar[bool] = True

    def __init__(self, net: DeployedNet, labels: Sequence[str]) -> None:
        self.net, self.labels = net, labels

    @abstractmethod
    def prepare(self, image: ImageContent, where: str = "image") -> PreparedImage:
        """Return an image as the net takes it.

        Parameters
        ----------
        image : bytes or ndarray of uint8
            The content of a file, or pixels: (3 or 1, rows, columns), blue, green, red, or grey.
        where : str
            Names the image in errors.

        Raises
        ------
        DataError
            If it is not an image, or is smaller than the crop.
        """

    @abstractmethod
    def answer(self, image: PreparedImage, values: Mapping[str, HostArray]) -> AnswerT:
        """Return what the net says about an image.

        Parameters
        ----------
        image : PreparedImage
        values : mapping of str to ndarray of float32
            `answer_blobs`: of one sample, shape (1, ...), if the model computes batches.
        """

    def predict(self, images: Sequence[PreparedImage]) -> list[AnswerT]:
        """Return the answer for each image; neighbours of one shape are computed at once."""
        if not self.batches:
            return [self._answer_alone(image) for image in images]
        found: list[AnswerT] = []
        for _, group in groupby(images, _shapes):
            same = list(group)
            names = same[0].inputs
            batch = {name: np.concatenate([one.inputs[name] for one in same]) for name in names}
            values = self.net.infer(batch, self.answer_blobs)
            for k, image in enumerate(same):
                rows = {name: value[k : k + 1] for name, value in values.items()}
                found.append(self.answer(image, rows))
        return found

    def close(self) -> None:
        """Close the net."""
        self.net.close()

    def _answer_alone(self, image: PreparedImage) -> AnswerT:
        return self.answer(image, self.net.infer(image.inputs, self.answer_blobs))


def class_name(labels: Sequence[str], number: int) -> str:
    """Return the name of a class, ``class 7`` if there is none."""
    name = labels[number] if 0 <= number < len(labels) else ""
    return name or f"class {number}"


def _shapes(image: PreparedImage) -> list[tuple[int, ...]]:
    return [values.shape for values in image.inputs.values()]
