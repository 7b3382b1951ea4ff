"""Batches of annotated images: tops are the images and the boxes of their objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.augmentation.annotated import Annotated, AnnotatedTransformer
from minicaffe.data.augmentation.resize_policy import ResizePolicy
from minicaffe.data.batches import RecordBatches
from minicaffe.data.records.annotated import AnnotatedRecord
from minicaffe.data.records.base import RecordSource
from minicaffe.data.transformer import DataTransformer
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.ops.backend import Shape
from minicaffe.random import RandomStream

Floats = NDArray[np.float32]
# Makes the labels of a batch from the objects of each of its images.
LabelRows: TypeAlias = Callable[[Sequence[Floats]], Floats]

_NONE = np.full((1, 1, 1, 8), -1, np.float32)  # the row of a batch without objects
_MOST_OBJECTS, _COLUMNS = 300, 5  # of MobileNet-YOLO's labels
_DIFFICULT = 6


def object_rows(objects: Sequence[Floats]) -> Floats:
    """Return SSD's labels, (1, 1, G, 8): image, class, instance, four sides, difficult."""
    items = np.repeat(np.arange(len(objects), dtype=np.float32), [len(rows) for rows in objects])
    if not len(items):
        return _NONE
    return np.column_stack([items, np.concatenate(objects)])[None, None]


def center_rows(objects: Sequence[Floats], counts_difficult: bool) -> Floats:
    """Return MobileNet-YOLO's labels, (N, 1, 300, 5): class from 0, center, width and height.

    What is left of the rows of an image is 0.
    """
    labels = np.zeros((len(objects), 1, _MOST_OBJECTS, _COLUMNS), np.float32)
    for target, given in zip(labels[:, 0], objects, strict=True):
        rows = given if counts_difficult else given[given[:, _DIFFICULT] == 0]
        if len(rows) > _MOST_OBJECTS:
            logger.warning(f"{len(rows)} objects in an image; the first {_MOST_OBJECTS} are used.")
            rows = rows[:_MOST_OBJECTS]
        low, high = rows[:, 2:4], rows[:, 4:6]
        target[: len(rows)] = np.column_stack([rows[:, 0] - 1, (low + high) / 2, high - low])
    return labels


class AnnotatedBatches(RecordBatches):
    """Decodes and transforms annotated images, several at once.

    The random numbers of an image are a function of its place in the run, so threads do not change
    them.

    Parameters
    ----------
    records : RecordSource
        Reads `AnnotatedRecord`; closed with the batches, or if they cannot be made.
    rows : BatchRows
        Images a batch.
    transform : AnnotatedTransformer
    values : DataTransformer
        Subtracts the mean and scales.
    labels : callable
        `object_rows`, or one that calls `center_rows`.
    stream : RandomStream
        Makes a step for each batch, then one for each image.
    threads : int
    """

    def __init__(
        self,
        records: RecordSource,
        rows: BatchRows,
        transform: tuple[AnnotatedTransformer, DataTransformer],
        labels: LabelRows,
        stream: RandomStream,
        threads: int,
    ) -> None:
        self._labels = labels
        self._transform, self._values = transform
        super().__init__(records, rows, stream, threads)

    @property
    def _n_steps(self) -> int:
        return 1 + self._rows.n_in_batch

    def _make(self, rows: slice) -> tuple[tuple[Floats, ...], Sequence[bytes]]:
        records = cast(list[AnnotatedRecord], self._source.take(self._size))
        policy = self._transform.policy(self._draws().generator())
        draws = self._draws(1 + rows.start)
        tasks = [(record, policy, draws.generator()) for record in records]
        found = self._pool.map(self._changed, tasks)
        for record, one in zip(records, found, strict=True):
            if one.image.shape != found[0].image.shape:
                raise DataError(self._other_size(records[0], found[0], record, one))
        try:
            data = self._values([one.image for one in found])
        except DataError as error:
            raise DataError(f"{records[0]}: {error}") from error
        labels = self._batch_labels(records, found)
        return (data, labels), [record.key for record in records]

    def _first_shapes(self) -> list[Shape]:
        record = cast(AnnotatedRecord, self._source.peek())
        draws = RandomStream(self._stream.seed, f"{self._stream.name}/first")
        policy = self._transform.policy(draws.generator())
        image = self._changed((record, policy, draws.generator())).image
        shape = (self._size, *self._values.output_shape(image.shape))
        if record.objects is None:
            return [shape, (self._size,)]
        others = [record.objects[:0]] * (self._size - 1)
        return [shape, self._labels([record.objects, *others]).shape]

    def _changed(
        self, task: tuple[AnnotatedRecord, ResizePolicy | None, np.random.Generator]
    ) -> Annotated:
        record, policy, generator = task
        objects = np.zeros((0, 7), np.float32) if record.objects is None else record.objects
        image = record.load()
        try:
            return self._transform(image, objects, policy, generator)
        except DataError as error:
            raise DataError(f"{record}: {error}") from error

    def _batch_labels(
        self, records: Sequence[AnnotatedRecord], found: Sequence[Annotated]
    ) -> Floats:
        without = [record for record in records if record.objects is None]
        if not without:
            return self._labels([one.objects for one in found])
        if len(without) < len(records):
            raise DataError(
                f"{without[0]}: the record has no type, other records have boxes. Write the "
                "database again with convert_annoset --anno_type=detection."
            )
        return np.array([record.label for record in records], np.float32)

    def _other_size(
        self, first: AnnotatedRecord, first_one: Annotated, other: AnnotatedRecord, one: Annotated
    ) -> str:
        sizes = [" x ".join(map(str, found.image.shape)) for found in (one, first_one)]
        return (
            f"{other}: the image is {sizes[0]} (channels x rows x columns), but the batch began "
            f"with {sizes[1]} ({first}); a batch has one size. Use resize_param in "
            "transform_param, a crop, or batch_size: 1."
        )
