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
from minicaffe.data.datum import ImageArray
from minicaffe.data.ordered_pool import OrderedPool
from minicaffe.data.records.base import (
    Record,
    RecordPosition,
    RecordSource,
    Resumable,
    RowSource,
)
from minicaffe.data.transformer import DataTransformer
from minicaffe.errors import DataError
from minicaffe.ops.backend import Shape
from minicaffe.ops.transform import StagedBatch
from minicaffe.random import RandomStream, checked_step

Floats = NDArray[np.float32]
# Changes a decoded image, with a random generator of its own.
Augment: TypeAlias = Callable[[ImageArray, np.random.Generator], ImageArray]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    Attributes
    ----------
    tops : tuple of ndarray, float32, shape (n, ...)
        The values of each top. The first may be a StagedBatch of images of that shape, which holds
        the labels once more, for a device to transform.
    keys : sequence of bytes
        The keys of the records, for messages; empty where rows have none.
    position : dict
        Position of the source after this batch, for `BatchSource.restore`.
    """

    tops: tuple[Floats | StagedBatch, ...]
    keys: Sequence[bytes]
    position: RecordPosition


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


class BatchSource(Resumable):
    """Makes batches without end.

    Attributes
    ----------
    shapes : list of tuple of int
        Shape of each top in the first batch; images may differ in rows and columns later.
    assembler : BatchAssembler or None
        Makes batches of uint8 images; None if there are other values.
    """

    shapes: list[Shape]
    assembler: BatchAssembler | None = None

    @abstractmethod
    def next(self) -> Batch:
        """Return the next batch; after the last record comes the first."""

    def count_samples(self, limit: int) -> int | None:
        """Return the number of samples, or `limit` if there are more; None if it is unknown."""
        return None


class RecordBatches(BatchSource):
    """Base of the batches made of records, which are decoded by several threads.

    Parameters
    ----------
    source : RecordSource
        Closed with the batches.
    size : int
        Records a batch.
    stream : RandomStream
        Random numbers of the transformation; its step is part of the position.
    threads : int
        Decode so many files at once.
    """

    def __init__(self, source: RecordSource, size: int, stream: RandomStream, threads: int) -> None:
        self._source, self._size, self._stream = source, size, stream
        self._pool = OrderedPool(threads)
        try:
            if size < 1:
                raise DataError(f"batch_size is {size}; it must be 1 or more.")
            self.shapes = self._first_shapes()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _first_shapes(self) -> list[Shape]:
        """Return the shape of each top in the first batch."""

    def position(self) -> RecordPosition:
        """Return the position of the source, and the step of its random numbers."""
        return {**self._source.position(), "step": self._stream.step}

    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; the data must be the same."""
        self._source.restore(position)
        self._stream.step = checked_step(position["step"])

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
    size : int
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
        size: int,
        transformer: DataTransformer,
        stream: RandomStream,
        threads: int = 1,
        augment: Augment | None = None,
    ) -> None:
        self._transformer, self._augment = transformer, augment
        self._augmented = 0  # images so far
        self._assemble = BatchAssembler(transformer, stream)
        super().__init__(source, size, stream, threads)

    def next(self) -> Batch:
        """Return the next batch.

        The first image of a batch decides its size, so that images of any size pass with
        ``batch_size: 1`` or a crop.

        Raises
        ------
        DataError
            If a record cannot be decoded or has another size than the first of the batch.
        """
        records = self._source.take(self._size)
        images = self._load(records) if self._augment is None else self._load_augmented(records)
        shape = images[0].shape
        for record, image in zip(records, images, strict=True):
            if image.shape != shape:
                self._check_same_size((records[0], images[0]), (record, image))
        labels = np.array([record.label for record in records], np.float32)
        data = self._assemble(images, labels)
        return Batch((data, labels), [record.key for record in records], self.position())

    def preview(self, n_images: int, n_versions: int) -> list[ImagePreview]:
        """Return the next images with several random versions of each, and advance."""
        records = self._source.take(n_images)
        versions: list[list[ImageArray]] = [[] for _ in records]
        for _ in range(n_versions):
            generator = self._stream.generator()
            images = [
                self._transformer.cut_out([image], generator)[0].astype(np.float32)
                for image in self._load_augmented(records)
            ]
            if len({image.shape for image in images}) == 1:
                images = list(self._transformer.mix(np.stack(images), generator))
            for of_image, image in zip(versions, images, strict=True):
                of_image.append(image)
        return [
            ImagePreview(record, record.load(), of_image)
            for record, of_image in zip(records, versions, strict=True)
        ]

    def position(self) -> RecordPosition:
        """Return the position of the source, and the steps of its random numbers."""
        augmented = {"augmented": self._augmented} if self._augment is not None else {}
        return {**super().position(), **augmented}

    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; the data must be the same."""
        super().restore(position)
        self._augmented = checked_step(position.get("augmented", 0))

    def _load_augmented(self, records: Sequence[Record]) -> list[ImageArray]:
        """Return decoded images, changed by several threads; each draws from a step of its own."""
        draws = self._draws()
        self._augmented += len(records)
        return self._pool.map(self._changed, [(record, draws.generator()) for record in records])

    def _draws(self) -> RandomStream:
        return RandomStream(self._stream.seed, f"{self._stream.name}/augmentation", self._augmented)

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
        image = self._changed((record, self._draws().generator()))
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


class RowBatches(BatchSource):
    """Batches of rows, which are used as they are: a top for each array.

    Parameters
    ----------
    rows : RowSource
    size : int
        Rows a batch.
    """

    def __init__(self, rows: RowSource, size: int) -> None:
        self._rows, self._size = rows, size
        self.shapes = [(size, *shape) for shape in rows.row_shapes]

    def next(self) -> Batch:
        """Return the next batch."""
        tops = self._rows.take(self._size)
        return Batch(tops, (), self.position())

    def count_samples(self, limit: int) -> int | None:
        """Return the number of rows."""
        return self._rows.count_records(limit)

    def position(self) -> RecordPosition:
        """Return the position of the rows."""
        return self._rows.position()

    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; the data must be the same."""
        self._rows.restore(position)
