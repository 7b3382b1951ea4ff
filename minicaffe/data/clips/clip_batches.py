"""Batches of clips: frames are an axis of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicaffe.data.batch_source import Batch, BatchSource
from minicaffe.data.records.base import RecordPosition
from minicaffe.ops.backend import Shape


class ClipBatches(BatchSource):
    """Divides the channels of images, (channels, frames) in C order, into two axes.

    Parameters
    ----------
    images : BatchSource
        Its first top is images; closed with the batches.
    n_frames : int
        Frames of a clip.
    """

    def __init__(self, images: BatchSource, n_frames: int) -> None:
        self._images, self._n_frames = images, n_frames
        first, *others = images.shapes
        self.shapes = [self._clips(first), *others]

    def next(self) -> Batch:
        """Return the next batch; its first top is (n, channels, frames, rows, columns)."""
        batch = self._images.next()
        images, *others = batch.tops
        if isinstance(images, np.ndarray):
            images = images.reshape(self._clips(images.shape))
        return replace(batch, tops=(images, *others))

    def skip_batches(self, n: int) -> None:
        """Advance by n batches, without making them."""
        self._images.skip_batches(n)

    def count_samples(self, limit: int) -> int | None:
        """Return the number of clips, or `limit` if there are more."""
        return self._images.count_samples(limit)

    def position(self) -> RecordPosition:
        """Return the position of the images."""
        return self._images.position()

    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; the data must be the same."""
        self._images.restore(position)

    def close(self) -> None:
        """Close the images."""
        self._images.close()

    def _clips(self, shape: Shape) -> Shape:
        n, channels, rows, columns = shape
        return (n, channels // self._n_frames, self._n_frames, rows, columns)
