"""From pictures to what a net is given: values, or a staged for a device that makes the values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.datum import Picture
from minicaffe.data.transformer import Transformer
from minicaffe.ops.transform import StagedBatch
from minicaffe.random import RandomStream

Floats = NDArray[np.float32]


class BatchAssembler:
    """The last step of a source of batches.

    Parameters
    ----------
    transformer : Transformer
    stream : RandomStream
        Makes one step a batch if the transformation is random, whoever does it.

    Attributes
    ----------
    stage : callable
        Returns a staged batch to fill, or None: then the transformation is done here.
    """

    def __init__(self, transformer: Transformer, stream: RandomStream) -> None:
        self.transformer, self._stream = transformer, stream
        self.stage: Callable[[], StagedBatch | None] = lambda: None

    def __call__(self, pictures: Sequence[Picture], labels: Floats) -> Floats | StagedBatch:
        """Return the values, or a staged batch with pictures and labels that was sent."""
        generator = self._stream.generator() if self.transformer.is_random else None
        staged = self.stage()
        if staged is None or not self.transformer.fits(pictures, staged):
            return self.transformer(pictures, generator)
        self.transformer.pack(pictures, generator, staged)
        staged.labels[...] = labels
        staged.upload()
        return staged
