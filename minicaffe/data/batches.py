"""Batches for the data layers: what a source of batches is, and the one that reads databases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.batch_assembler import BatchAssembler
from minicaffe.data.datum import Picture, StoredPicture, read_datum
from minicaffe.data.db import RecordLocation, open_database, printable
from minicaffe.data.ordered_pool import OrderedPool
from minicaffe.data.transformer import Transformer
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.ops.transform import StagedBatch
from minicaffe.random import RandomStream

# Where a source stands: a dict that JSON can hold. Its content is the source's own business.
Position = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    Attributes
    ----------
    data : ndarray, float32, shape (n, channels, rows, columns); or StagedBatch
        A staged holds pictures of that shape, and the labels once more, for a device to transform.
    label : ndarray, float32, shape (n,)
    keys : list of bytes or None
        The database keys of the items, for messages; None where there is no database.
    position : dict
        Where the source stands after this batch, for `BatchSource.restore`.
    """

    data: NDArray[np.float32] | StagedBatch
    label: NDArray[np.float32]
    keys: list[bytes] | None
    position: Position


class BatchSource(Protocol):
    """What yields batches without end."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the first batch's data; later ones may differ in rows and columns."""

    @property
    def assembler(self) -> BatchAssembler | None:
        """What makes batches of pictures of bytes; None if they are made in another way."""

    def next(self) -> Batch:
        """Return the next batch; after the last item comes the first."""

    def position(self) -> Position:
        """Return where the source stands: after the last batch returned."""

    def restore(self, position: Position) -> None:
        """Go on from a position as if the batches before it had been returned."""

    def close(self) -> None:
        """Let go of files and threads; closing twice does nothing."""


class _Record(NamedTuple):
    """A record that was read."""

    place: RecordLocation
    stored: StoredPicture


class DatabaseBatches:
    """Batches from an LMDB or LevelDB of Datum messages, in the order of its keys.

    Parameters
    ----------
    source : str
        The database's folder.
    backend : str
        LMDB or LEVELDB.
    batch_size : int
        Items a batch.
    transformer : Transformer
        What is done to the pictures.
    stream : RandomStream
        Random numbers of the transformation and of `rand_skip`.
    rand_skip : int, optional
        Start up to ``rand_skip - 1`` records after the first, so that runs side by side differ.
    threads : int, optional
        Decode so many files at once.

    Raises
    ------
    DataError
        If the database cannot be opened or its first record cannot be used.
    """

    def __init__(
        self,
        source: str,
        backend: str,
        batch_size: int,
        transformer: Transformer,
        stream: RandomStream,
        rand_skip: int = 0,
        threads: int = 1,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"data_param.batch_size is {batch_size}; it must be 1 or more.")
        self._database = open_database(source, backend)
        self._batch_size = batch_size
        self._transformer = transformer
        self._stream = stream
        self._records = 0
        self._pool = OrderedPool(threads)
        try:
            self._cursor = self._database.cursor()
            if rand_skip:
                self._skip(int(stream.generator().integers(rand_skip)))
            record = self._read()
            picture = self._decode(record)
            self._shape = (batch_size, *self._output_shape(record, picture))
            self._assembler = BatchAssembler(transformer, stream)
            self._holds_bytes = picture.dtype == np.uint8
        except BaseException:
            self._database.close()
            raise

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of a batch's data, from the first record."""
        return self._shape

    @property
    def assembler(self) -> BatchAssembler | None:
        """What makes the batches; None if the first record holds float_data."""
        return self._assembler if self._holds_bytes else None

    def next(self) -> Batch:
        """Return the next batch.

        The first picture of a batch decides its size, so that pictures of any size pass with
        ``batch_size: 1`` or a crop.

        Raises
        ------
        DataError
            If a record cannot be decoded or has another size than the first of the batch.
        """
        records = []
        for _ in range(self._batch_size):
            records.append(self._read())
            self._advance()
        self._records += self._batch_size
        pictures = self._pictures(records)
        labels = np.array([record.stored.label for record in records], np.float32)
        data = self._assembler(pictures, labels)
        return Batch(data, labels, [record.place.key for record in records], self.position())

    def position(self) -> Position:
        """Return where the source stands: next key, records delivered, random step."""
        return {
            "key": self._cursor.key.decode("latin-1"),
            "records": self._records,
            "step": self._stream.step,
        }

    def restore(self, position: Position) -> None:
        """Go on from a position; the database must be the same."""
        self._cursor.seek(position["key"].encode("latin-1"))
        self._records = position["records"]
        self._stream.step = position["step"]

    def close(self) -> None:
        """Close the database, end the threads that decode."""
        self._pool.close()
        self._database.close()

    def _skip(self, n: int) -> None:
        logger.info("Skipping first %d data points.", n)
        for _ in range(n):
            self._advance()

    def _advance(self) -> None:
        if self._cursor.advance():
            logger.info("Restarting data prefetching from start.")

    def _read(self) -> _Record:
        place = self._cursor.place
        return _Record(place, read_datum(self._cursor.value, place))

    def _pictures(self, records: list[_Record]) -> list[Picture]:
        """Decode, files on several threads: a raw picture is only looked at."""
        if any(record.stored.is_encoded for record in records):
            pictures = self._pool.map(self._decode, records)
        else:
            pictures = [self._decode(record) for record in records]
        for record, picture in zip(records, pictures, strict=True):
            if picture.shape != pictures[0].shape:
                self._check_same_size(records[0], pictures[0], record, picture)
        return pictures

    def _decode(self, record: _Record) -> Picture:
        return record.stored.decode(self._transformer.color, record.place)

    def _output_shape(self, record: _Record, picture: Picture) -> tuple[int, int, int]:
        try:
            return self._transformer.output_shape(picture.shape)
        except DataError as error:
            raise DataError(f"{record.place}: {error}") from error

    def _check_same_size(
        self, first: _Record, first_picture: Picture, record: _Record, picture: Picture
    ) -> None:
        if self._output_shape(record, picture) != self._output_shape(first, first_picture):
            shapes = [" x ".join(map(str, p.shape)) for p in (picture, first_picture)]
            if picture.shape[0] == first_picture.shape[0]:
                fix = (
                    "crop_size or batch_size: 1, or convert with --resize_height and --resize_width"
                )
            else:
                fix = "force_color or force_gray in transform_param, where the pictures are encoded"
            raise DataError(
                f"{record.place}: the picture is {shapes[0]} (channels x rows x columns), but the "
                f"batch began with {shapes[1]} (key {printable(first.place.key)}); a batch has one "
                f"size. Use {fix}."
            )
