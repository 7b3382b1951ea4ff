"""Assembling of batches: decoded images become values, or a staged batch for a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.datum import ImageArray
from minicaffe.data.transformer import DataTransformer
from minicaffe.ops.transform import StagedBatch
from minicaffe.random import RandomStream

Floats = NDArray[np.float32]


class BatchAssembler:
    """Transforms images, or packs them into a staged batch for the device to transform.

    Parameters
    ----------
    transformer : DataTransformer
    stream : RandomStream
        Makes one step a batch if the transformation is random, on the host and on a device alike.

    Attributes
    ----------
    stage : callable
        Returns a staged batch to fill, or None: then the transformation is done here.
    """

    def __init__(self, transformer: DataTransformer, stream: RandomStream) -> None:
        self.transformer, self._stream = transformer, stream
        self.stage: Callable[[], StagedBatch | None] = lambda: None

    def __call__(self, images: Sequence[ImageArray], labels: Floats) -> Floats | StagedBatch:
        """Return the values, or a staged batch of images and labels whose upload has begun."""
        generator = self._stream.generator() if self.transformer.is_random else None
        staged = self.stage()
        if staged is None or not self.transformer.fits(images, staged):
            return self.transformer(images, generator)
        self.transformer.pack(images, generator, staged)
        staged.labels[...] = labels
        staged.upload()
        return staged
