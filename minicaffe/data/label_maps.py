"""Transformation and batches of images with a label for each pixel.

A record is one array: the channels of the image, then the labels as the last channel. What moves
pixels (scaling, crop, mirror) therefore moves image and labels alike; the mean, the scale and the
interpolation are the image's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.batches import RecordBatches
from minicaffe.data.datum import ImageArray
from minicaffe.data.image import Pixels
from minicaffe.data.pixels.resizing import resize, resize_nearest
from minicaffe.data.records.base import Record, RecordSource
from minicaffe.data.transformer import DataTransformer
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.ops.backend import Shape
from minicaffe.random import RandomStream

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Framing:
    """Which part of an image is used, and how labels are stored.

    Parameters
    ----------
    crop : tuple of int
        Rows and columns; (0, 0) for the whole image. Smaller images are padded at the bottom and
        on the right: with the mean, so that the values are 0, and with `ignore_label`.
    at_random : bool
        Whether the place of the crop is random, and not the middle.
    mirror : bool
        Mirror half of the images left to right.
    factors : tuple of float
        An image is scaled by one of them before the crop, drawn at random; () for none.
    ignore_label : int
    label_stride : int
        Keep the labels of every n-th row and column.
    """

    crop: tuple[int, int] = (0, 0)
    at_random: bool = False
    mirror: bool = False
    factors: tuple[float, ...] = ()
    ignore_label: int = 255
    label_stride: int = 1

    @property
    def is_random(self) -> bool:
        """Whether images differ from round to round."""
        return self.mirror or bool(self.factors) or (self.at_random and self.crop != (0, 0))


class _Choice(NamedTuple):
    """The random numbers of one image; the crop begins at a share of the spare rows and columns."""

    factor: float = 1.0
    mirror: bool = False
    top: float = 0.5
    left: float = 0.5


class LabelMapBatches(RecordBatches):
    """Decodes and transforms images and their labels.

    The tops are images (N, C, H, W), labels (N, 1, H, W) and the sizes of the images before
    padding (N, 1, 1, 2): rows and columns, at most those of the crop.

    Parameters
    ----------
    source : RecordSource
        Its records are uint8 images with the labels as the last channel.
    rows : BatchRows
        Images a batch.
    values : DataTransformer
        Subtracts the mean and scales; it neither crops nor mirrors.
    framing : Framing
    stream : RandomStream
        Draws, in one step a batch; its step is part of the position.
    threads : int, optional
        Decode and transform so many images at once.

    Raises
    ------
    DataError
        If the first record cannot be used.
    """

    def __init__(
        self,
        source: RecordSource,
        rows: BatchRows,
        values: DataTransformer,
        framing: Framing,
        stream: RandomStream,
        threads: int = 1,
    ) -> None:
        self._values, self._framing = values, framing
        super().__init__(source, rows, stream, threads)

    @property
    def _n_steps(self) -> int:
        return int(self._framing.is_random)

    def _make(self, rows: slice) -> tuple[tuple[Floats, ...], Sequence[bytes]]:
        records = self._source.take(self._size)
        samples = self._pool.map(self._sample, list(zip(records, self._choose(rows), strict=True)))
        shape = samples[0][0].shape
        for record, (image, _, _) in zip(records, samples, strict=True):
            if image.shape != shape:
                raise DataError(
                    f"{record}: the image is {_times(image.shape)} (channels x rows x columns), "
                    f"but the batch began with {_times(shape)} ({records[0]}); a batch has one "
                    f"size. Use {self._source.size_advice}."
                )
        tops = tuple(np.stack(values) for values in zip(*samples, strict=True))
        return tops, [record.key for record in records]

    def _first_shapes(self) -> list[Shape]:
        samples = self._sample((self._source.peek(), _Choice()))
        return [(self._size, *values.shape) for values in samples]

    def _choose(self, rows: slice) -> list[_Choice]:
        """Draw for each image of the whole batch, and return what was drawn for some of them."""
        n, framing = self._rows.n_in_batch, self._framing
        if not framing.is_random:
            return [_Choice()] * self._size
        generator = self._draws().generator()
        mirrors = generator.integers(2, size=n) if framing.mirror else np.zeros(n)
        places = generator.random((n, 2)) if framing.at_random else np.full((n, 2), 0.5)
        factors = generator.choice(framing.factors, n) if framing.factors else np.ones(n)
        drawn = zip(factors.tolist(), mirrors.tolist(), *places.T.tolist(), strict=True)
        choices = [_Choice(factor, bool(mirror), *place) for factor, mirror, *place in drawn]
        return choices[rows]

    def _sample(self, given: tuple[Record, _Choice]) -> tuple[Floats, Floats, Floats]:
        """Return image, labels and size of a record."""
        record, choice = given
        pixels = cast(Pixels, record.load())
        if choice.factor != 1:
            pixels = _scaled(pixels, choice.factor)
        window = self._cut(pixels, choice)
        try:
            values = self._values([window[:-1]])[0]
            image, labels = self._pad(values, window[-1:])
        except DataError as error:
            raise DataError(f"{record}: {error}") from error
        if choice.mirror:
            image, labels = image[:, :, ::-1], labels[:, :, ::-1]
        step = self._framing.label_stride
        rows, columns = (max(size // step, 1) * step for size in labels.shape[1:])
        size = np.array(window.shape[1:], np.float32).reshape(1, 1, 2)
        return image, labels[:, :rows:step, :columns:step], size

    def _cut(self, pixels: Pixels, choice: _Choice) -> Pixels:
        """Return the part of an image that lies in the crop."""
        _, height, width = pixels.shape
        rows, columns = self._framing.crop
        rows, columns = min(rows or height, height), min(columns or width, width)
        top, left = height - rows, width - columns
        if self._framing.at_random:
            top, left = int(choice.top * (top + 1)), int(choice.left * (left + 1))
        else:
            top, left = top // 2, left // 2
        return pixels[:, top : top + rows, left : left + columns]

    def _pad(self, values: Floats, labels: ImageArray) -> tuple[Floats, Floats]:
        """Return image and labels of the crop's size, float32."""
        shape = tuple(
            max(sizes) for sizes in zip(values.shape[1:], self._framing.crop, strict=True)
        )
        if shape == values.shape[1:]:
            return values, labels.astype(np.float32)
        part = np.s_[:, : values.shape[1], : values.shape[2]]
        image = np.zeros((len(values), *shape), np.float32)
        image[part] = values
        padded = np.full((1, *shape), self._framing.ignore_label, np.float32)
        padded[part] = labels
        return image, padded


def _scaled(pixels: Pixels, factor: float) -> Pixels:
    height, width = (max(1, int(size * factor)) for size in pixels.shape[1:])
    image, labels = resize(pixels[:-1], height, width), resize_nearest(pixels[-1:], height, width)
    return np.concatenate([image, labels])


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
