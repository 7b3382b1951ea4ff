"""Nets that give an image a class: the scores of all classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minicaffe.data.preparation import Floats
from minicaffe.errors import NetError, nearest
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

_PROBABILITIES = "prob"


@dataclass(frozen=True)
class ClassScores(ImageAnswer):
    """The scores of the classes of an image.

    Parameters
    ----------
    scores : ndarray of float32, shape (classes,)
    """

    scores: Floats

    def best_classes(self, n: int) -> list[tuple[int, float]]:
        """Return number and score of the `n` best classes, the best one first."""
        order = np.argsort(-self.scores, kind="stable")[:n]
        return [(int(k), float(self.scores[k])) for k in order]


class ClassModel(ImageModel[ClassScores]):
    """A trained net that classifies images.

    Parameters
    ----------
    net : DeployedNet
        With one input.
    labels : sequence of str
    preparation : Preparation
    output : str
        The blob with the scores.
    """

    task: ClassVar[Task] = "classify"

    def __init__(
        self, net: DeployedNet, labels: Sequence[str], preparation: Preparation, output: str
    ) -> None:
        super().__init__(net, labels)
        self._preparation, self._input = preparation, net.net.inputs[0].name
        self.answer_blobs = (output,)

    def prepare(self, image: ImageContent, where: str = "image") -> PreparedImage:
        """Return an image as the net takes it."""
        values, size = self._preparation(image, where)
        return PreparedImage({self._input: values[None]}, size)

    def answer(self, image: PreparedImage, values: Mapping[str, HostArray]) -> ClassScores:
        """Return the scores of an image."""
        return ClassScores(values[self.answer_blobs[0]].reshape(-1))


def scores_output(net: DeployedNet, name: str) -> str:
    """Return the output with the scores of the classes.

    Parameters
    ----------
    net : DeployedNet
    name : str
        The output; empty: the only one, or "prob".

    Raises
    ------
    NetError
        If there is none, or there are several.
    """
    outputs, path = net.output_shapes, net.path
    if name and name not in outputs:
        raise NetError(f'{path}: no output "{name}". {nearest(name, outputs)}')
    chosen = name or (_PROBABILITIES if _PROBABILITIES in outputs else next(iter(outputs), ""))
    if not name and chosen != _PROBABILITIES and len(outputs) != 1:
        raise NetError(
            f"{path}: has the outputs {', '.join(outputs) or 'none'}; choose the one with the "
            "scores of the classes with --output NAME"
        )
    if not are_scores(outputs[chosen]):
        shape = " x ".join(map(str, outputs[chosen]))
        raise NetError(
            f'{path}: output "{chosen}" is {shape}; the scores of classes are one row of at least '
            "2 values an image. Use segment for classes of pixels, detect for boxes"
        )
    return chosen


def are_scores(shape: Shape) -> bool:
    """Return whether an output of a shape is a row of scores for each image."""
    return len(shape) in (2, 4) and shape[1] > 1 and not any(n > 1 for n in shape[2:])
