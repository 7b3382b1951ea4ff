"""Assembling of batches: decoded images become values, or a staged batch for a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.datum import ImageArray
from minicaffe.data.transformer import DataTransformer, RowDraws
from minicaffe.ops.transform import StagedBatch

Floats = NDArray[np.float32]


class BatchAssembler:
    """Transforms images, or packs them into a staged batch for the device to transform.

    Parameters
    ----------
    transformer : DataTransformer

    Attributes
    ----------
    stage : callable
        Returns a staged batch to fill, or None: then the transformation is done here.
    """

    def __init__(self, transformer: DataTransformer) -> None:
        self.transformer = transformer
        self.stage: Callable[[], StagedBatch | None] = lambda: None

    def __call__(
        self, images: Sequence[ImageArray], labels: Floats, draws: RowDraws | None
    ) -> Floats | StagedBatch:
        """Return the values, or a staged batch of images and labels whose upload has begun.

        The same numbers are drawn on the host and for a device.
        """
        staged = self.stage()
        if staged is None or not self.transformer.fits(images, staged):
            return self.transformer(images, draws)
        self.transformer.pack(images, draws, staged)
        staged.labels[...] = labels
        staged.upload()
        return staged
