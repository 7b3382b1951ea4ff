"""Sources of batches, and how they read the parts of each batch that a process computes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.batch_assembler import BatchAssembler
from minicaffe.data.records.base import RecordPosition, Resumable
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.ops.backend import Shape
from minicaffe.ops.transform import StagedBatch

Floats = NDArray[np.float32]


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

    @abstractmethod
    def skip_batches(self, n: int) -> None:
        """Advance as n calls of `next` do, without making batches."""

    def count_samples(self, limit: int) -> int | None:
        """Return the number of samples, or `limit` if there are more; None if it is unknown."""
        return None


class DividedBatches(BatchSource):
    """Base of the batches of a process that reads some parts of each batch of a training.

    A call of `next` makes a part. Between batches the position is that after the whole batch, the
    same in all processes. After some of several parts it is that before the batch, with the number
    of these parts as "pass".

    Parameters
    ----------
    rows : BatchRows
    """

    def __init__(self, rows: BatchRows) -> None:
        if rows.size < 1:
            raise DataError(f"batch_size is {rows.size}; it must be 1 or more.")
        self._rows, self._pass = rows, 0
        self._begin: RecordPosition = {}  # of the batch that has begun

    @abstractmethod
    def _make(self, rows: slice) -> tuple[tuple[Floats | StagedBatch, ...], Sequence[bytes]]:
        """Return tops and keys of the next rows, which are these of the whole batch."""

    @abstractmethod
    def _skip_rows(self, n: int) -> None:
        """Advance by n rows without reading them."""

    @abstractmethod
    def _place(self) -> RecordPosition:
        """Return the position, which lies between batches."""

    @abstractmethod
    def _go_to(self, position: RecordPosition) -> None:
        """Continue from a position that `_place` returned."""

    def next(self) -> Batch:
        """Return the next batch: the rows of a part."""
        rows = self._rows.of_pass(self._pass)
        if self._pass == 0:
            self._begin = self._place()
            self._skip_rows(rows.start)
        tops, keys = self._make(rows)
        self._pass += 1
        if self._pass == self._rows.parts.n:
            self._pass = 0
            self._skip_rows(self._rows.n_after)
            self._end_batches(1)
        return Batch(tops, keys, self.position())

    def skip_batches(self, n: int) -> None:
        """Advance by n batches, without reading their rows; to be called between batches."""
        self._skip_rows(n * self._rows.n_in_batch)
        self._end_batches(n)

    def position(self) -> RecordPosition:
        """Return the position after the last batch."""
        return {**self._begin, "pass": self._pass} if self._pass else self._place()

    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; the data must be the same."""
        self._go_to(position)
        self._begin, self._pass = position, int(position.get("pass", 0))
        if self._pass:
            self._skip_rows(self._rows.of_pass(self._pass).start)

    def _end_batches(self, n: int) -> None:
        """Count n batches whose rows have been read or skipped."""
