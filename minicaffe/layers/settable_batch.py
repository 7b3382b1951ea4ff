"""Layers whose settings name the number of samples that a program gives the net."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from minicaffe.schema import BlobShape, LayerParameter


class SettableBatch(ABC):
    """Mix-in of layer classes without bottoms whose tops have an axis of samples."""

    @classmethod
    @abstractmethod
    def set_batch(cls, param: LayerParameter, samples: int, batch: int) -> None:
        """Change the number of samples in the settings, where it is `samples` now."""


def set_first_axis(shapes: Iterable[BlobShape], samples: int, batch: int) -> None:
    """Change the first axis of the shapes that have `samples` there."""
    for shape in shapes:
        if shape.dim and shape.dim[0] == samples:
            shape.dim[0] = batch
