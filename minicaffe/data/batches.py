"""Batches for the data layers, made of the records of images or of rows of arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.batch_assembler import BatchAssembler
from minicaffe.data.batch_source import DividedBatches
from minicaffe.data.datum import ImageArray
from minicaffe.data.ordered_pool import OrderedPool
from minicaffe.data.records.base import (
    Record,
    RecordPosition,
    RecordSource,
    RowSource,
)
from minicaffe.data.transformer import DataTransformer, RowDraws
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.ops.backend import Shape
from minicaffe.ops.transform import StagedBatch
from minicaffe.random import RandomStream, checked_step

Floats = NDArray[np.float32]
# Changes a decoded image, with a random generator of its own.
Augment: TypeAlias = Callable[[ImageArray, np.random.Generator], ImageArray]


@dataclass(frozen=True, slots=True)
class ImagePreview:
    """An image and what augmentation makes of it.

    Attributes
    ----------
    record : Record
    original : ndarray, shape (channels, rows, columns)
        As it was decoded.
    versions : list of ndarray, float32, shape (channels, rows, columns)
        As the net reads it, before the mean is subtracted and the scale applied.
    """

    record: Record
    original: ImageArray
    versions: list[ImageArray]


class RecordBatches(DividedBatches):
    """Base of the batches made of records, which are decoded by several threads.

    Parameters
    ----------
    source : RecordSource
        Closed with the batches.
    rows : BatchRows
        Records a batch.
    stream : RandomStream
        Random numbers of the transformation; its step is part of the position.
    threads : int
        Decode so many files at once.
    """

    def __init__(
        self, source: RecordSource, rows: BatchRows, stream: RandomStream, threads: int
    ) -> None:
        self._source, self._size, self._stream = source, rows.size, stream
        self._pool = OrderedPool(threads)
        try:
            super().__init__(rows)
            self.shapes = self._first_shapes()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _first_shapes(self) -> list[Shape]:
        """Return the shape of each top in the first batch."""

    @property
    @abstractmethod
    def _n_steps(self) -> int:
        """Steps of the random numbers of a whole batch; each part begins at the first one."""

    def _skip_rows(self, n: int) -> None:
        self._source.skip(n)

    def _end_batches(self, n: int) -> None:
        super()._end_batches(n)
        self._stream.step += n * self._n_steps

    def _place(self) -> RecordPosition:
        return {**self._source.position(), "step": self._stream.step}

    def _go_to(self, position: RecordPosition) -> None:
        self._source.restore(position)
        self._stream.step = checked_step(position["step"])

    def _draws(self, step: int = 0) -> RandomStream:
        """Return the random numbers of the present batch, from one of its steps on."""
        return RandomStream(self._stream.seed, self._stream.name, self._stream.step + step)

    def count_samples(self, limit: int) -> int | None:
        """Return the number of records, or `limit` if there are more."""
        return self._source.count_records(limit)

    def next_records(self, n: int) -> list[Record]:
        """Return the next records, not decoded, instead of a batch: for a survey of the data."""
        return self._source.take(n)

    def close(self) -> None:
        """Close the source, end the threads that decode."""
        self._pool.close()
        self._source.close()

    def _load(self, records: Sequence[Record]) -> list[ImageArray]:
        """Return decoded images, files decoded by several threads."""
        if any(record.is_encoded for record in records):
            return self._pool.map(methodcaller("load"), records)
        return [record.load() for record in records]


class ImageBatches(RecordBatches):
    """Decodes and transforms the images of records: tops are images and labels.

    Parameters
    ----------
    source : RecordSource
        Closed with the batches, or if they cannot be made.
    rows : BatchRows
        Images a batch.
    transformer : DataTransformer
        Transforms the decoded images.
    stream : RandomStream
        Random numbers of the transformation; its step is part of the position.
    threads : int, optional
        Decode so many files at once.
    augment : callable, optional
        Changes a decoded image before the transformation, with a random generator of its own.

    Raises
    ------
    DataError
        If the first record cannot be used.
    """

    def __init__(
        self,
        source: RecordSource,
        rows: BatchRows,
        transformer: DataTransformer,
        stream: RandomStream,
        threads: int = 1,
        augment: Augment | None = None,
    ) -> None:
        self._transformer, self._augment = transformer, augment
        self._augmented = 0  # images of the batches so far
        self._assemble = BatchAssembler(transformer)
        super().__init__(source, rows, stream, threads)

    @property
    def _n_steps(self) -> int:
        return int(self._transformer.is_random)

    def _make(self, rows: slice) -> tuple[tuple[Floats | StagedBatch, ...], Sequence[bytes]]:
        """Return the next images and labels.

        The first image decides the size, so that images of any size pass with ``batch_size: 1`` or
        a crop.
        """
        records = self._source.take(self._size)
        if self._augment is None:
            images = self._load(records)
        else:
            images = self._load_augmented(records, rows.start)
        shape = images[0].shape
        for record, image in zip(records, images, strict=True):
            if image.shape != shape:
                self._check_same_size((records[0], images[0]), (record, image))
        labels = np.array([record.label for record in records], np.float32)
        random = self._transformer.is_random
        draws = RowDraws(self._draws().generator(), rows, self._rows.n_in_batch) if random else None
        data = self._assemble(images, labels, draws)
        return (data, labels), [record.key for record in records]

    def preview(self, n_images: int, n_versions: int) -> list[ImagePreview]:
        """Return the next images with several random versions of each, and advance."""
        records = self._source.take(n_images)
        versions: list[list[ImageArray]] = [[] for _ in records]
        for _ in range(n_versions):
            generator = self._stream.generator()
            images = [
                self._transformer.cut_out([image], RowDraws.of_all(generator, 1))[0]
                for image in self._load_augmented(records, 0)
            ]
            self._augmented += n_images
            if len({image.shape for image in images}) == 1:
                mixed = self._transformer.mix(
                    np.stack(images).astype(np.float32), RowDraws.of_all(generator, n_images)
                )
                images = list(mixed)
            for of_image, image in zip(versions, images, strict=True):
                of_image.append(image.astype(np.float32, copy=False))
        return [
            ImagePreview(record, record.load(), of_image)
            for record, of_image in zip(records, versions, strict=True)
        ]

    def _end_batches(self, n: int) -> None:
        super()._end_batches(n)
        self._augmented += n * self._rows.n_in_batch

    def _place(self) -> RecordPosition:
        augmented = {"augmented": self._augmented} if self._augment is not None else {}
        return {**super()._place(), **augmented}

    def _go_to(self, position: RecordPosition) -> None:
        super()._go_to(position)
        self._augmented = checked_step(position.get("augmented", 0))

    def _load_augmented(self, records: Sequence[Record], first: int) -> list[ImageArray]:
        """Return decoded images, changed by several threads; each draws from a step of its own.

        `first` is the row of the batch that the first record is.
        """
        draws = self._augmentation_draws(first)
        return self._pool.map(self._changed, [(record, draws.generator()) for record in records])

    def _augmentation_draws(self, row: int = 0) -> RandomStream:
        name = f"{self._stream.name}/augmentation"
        return RandomStream(self._stream.seed, name, self._augmented + row)

    def _changed(self, given: tuple[Record, np.random.Generator]) -> ImageArray:
        record, generator = given
        image = record.load()
        try:
            return image if self._augment is None else self._augment(image, generator)
        except DataError as error:
            raise DataError(f"{record}: {error}") from error

    def _first_shapes(self) -> list[Shape]:
        return [(self._size, *self._first_shape()), (self._size,)]

    def _first_shape(self) -> Shape:
        if self._source.image_shape is not None:
            return self._source.image_shape
        record = self._source.peek()
        image = self._changed((record, self._augmentation_draws().generator()))
        if image.dtype == np.uint8:
            self.assembler = self._assemble
        return self._output_shape(record, image)

    def _output_shape(self, record: Record, image: ImageArray) -> Shape:
        try:
            return self._transformer.output_shape(image.shape)
        except DataError as error:
            raise DataError(f"{record}: {error}") from error

    def _check_same_size(
        self, first: tuple[Record, ImageArray], other: tuple[Record, ImageArray]
    ) -> None:
        if self._output_shape(*other) == self._output_shape(*first):
            return
        first_shape, shape = (" x ".join(map(str, image.shape)) for _, image in (first, other))
        advice = self._source.size_advice
        if first[1].shape[0] != other[1].shape[0]:
            advice = "force_color or force_gray in transform_param, where the images are encoded"
        raise DataError(
            f"{other[0]}: the image is {shape} (channels x rows x columns), but the batch began "
            f"with {first_shape} ({first[0]}); a batch has one size. Use {advice}."
        )


class RowBatches(DividedBatches):
    """Batches of rows, which are used as they are: a top for each array.

    Parameters
    ----------
    source : RowSource
    rows : BatchRows
    """

    def __init__(self, source: RowSource, rows: BatchRows) -> None:
        super().__init__(rows)
        self._source = source
        self.shapes = [(rows.size, *shape) for shape in source.row_shapes]

    def _make(self, rows: slice) -> tuple[tuple[Floats, ...], Sequence[bytes]]:
        return self._source.take(self._rows.size), ()

    def count_samples(self, limit: int) -> int | None:
        """Return the number of rows."""
        return self._source.count_records(limit)

    def _skip_rows(self, n: int) -> None:
        self._source.skip(n)

    def _place(self) -> RecordPosition:
        return self._source.position()

    def _go_to(self, position: RecordPosition) -> None:
        self._source.restore(position)
