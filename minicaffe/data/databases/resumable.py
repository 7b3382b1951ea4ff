"""Databases of conversions that continue after an interruption of any kind, power failures too."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from minicaffe.atomic_file import (
    create_partial,
    give_final_name,
    held,
    leftover_error,
    partial_folder,
)
from minicaffe.data.databases.conversion_log import ConversionLog, read_conversion_log
from minicaffe.data.db import Writer, open_writer
from minicaffe.data.survey import DatasetSurvey
from minicaffe.errors import DataError
from minicaffe.log import logger

# In the folder of a database that is being written, beside its own files.
_LOG_NAME = "conversion.jsonl"
# A transaction ends after so many bytes of records, or seconds, and is written while the records of
# the next one are collected. A process that is killed loses no more than these two. Each waits for
# the disk, so that small ones would cost time.
_BATCH_BYTES, _BATCH_S = 32 << 20, 10.0


class ResumableDatabase:
    """A database being written from a list of items; `resumable_database` opens it.

    Attributes
    ----------
    n_items : int
        Number of items at the beginning of the list that have been stored or skipped.
    survey : DatasetSurvey
        Of the records that are on the disk, those of earlier processes included.
    batch : DatasetSurvey
        Of the records that wait; the caller counts in it what it stores and skips.
    """

    def __init__(self, writer: Writer, log: ConversionLog) -> None:
        self._writer, self._log = writer, log
        self._waiting: list[tuple[bytes, bytes]] = []
        self._waiting_bytes = 0
        self._committed = time.monotonic()
        # Writing takes as long as decoding on one core, and waits for the disk.
        self._thread = ThreadPoolExecutor(1, "minicaffe-write")
        self._transaction: Future[None] | None = None
        self.n_items, self.n_records = log.n_items, log.n_records
        self.survey = log.survey
        self.batch = DatasetSurvey("")

    def put(self, name: str, value: bytes) -> None:
        """Add the record of the next item; its key is the number of the item and `name`."""
        self._waiting.append((numbered_key(self.n_items, name), value))
        self._waiting_bytes += len(value)
        self.n_records += 1

    def end_item(self) -> None:
        """Go to the next item: this one has been stored or skipped."""
        self.n_items += 1
        is_late = time.monotonic() - self._committed >= _BATCH_S
        if is_late or self._waiting_bytes >= _BATCH_BYTES:
            self.commit()
        elif self._transaction is not None and self._transaction.done():
            self.finish_transaction()

    def commit(self) -> None:
        """Begin to write the waiting records in one transaction; wait for the one before it."""
        self.finish_transaction()
        given = self._waiting, self.n_items, self.n_records, self.batch
        self._transaction = self._thread.submit(self._write, *given)
        self._waiting, self._waiting_bytes, self.batch = [], 0, DatasetSurvey("")
        self._committed = time.monotonic()

    def finish_transaction(self) -> None:
        """Wait until what was committed is on the disk; raise the error of writing it."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.result()

    def _write(
        self,
        records: list[tuple[bytes, bytes]],
        n_items: int,
        n_records: int,
        survey: DatasetSurvey,
    ) -> None:
        if records:
            self._writer.write(records)
        self._log.append(n_items, n_records, survey)

    def close(self) -> None:
        """Close the database when the transaction has ended.

        The thread does it, so that a second Ctrl-C does not close the database under a transaction.
        """
        self._thread.submit(self._writer.close)
        self._thread.shutdown()


def numbered_key(number: int, name: str) -> bytes:
    """Return the key of the record of an item, as Caffe writes it: its number, then its name."""
    return f"{number:08d}_{name}".encode("utf-8", "surrogateescape")


@contextmanager
def resumable_database(
    path: str, backend: str, inputs: Mapping[str, str] | None, n_items: int
) -> Iterator[ResumableDatabase]:
    """Create a database from a list of items, or continue one that was interrupted.

    It appears under its name when the ``with`` block ends without an error. Until then it is in a
    folder ``PATH.partial``, which any interruption leaves, unless nothing was stored.

    Parameters
    ----------
    path : str
    backend : str
        LMDB or LEVELDB, in any case.
    inputs : mapping of str to str, or None
        What the records depend on, by the names of arguments and flags. A database that was begun
        with other inputs is not continued. None: an error or Ctrl-C removes the database.
    n_items : int
        Length of the list, for messages.

    Raises
    ------
    DataError
        If `path` exists, its folder does not, the disk is full, another process is writing the
        database, or it was begun with other inputs.
    """
    partial = partial_folder(path, "databases")
    create_partial(partial, path)
    with held(partial) as is_locked:
        if is_locked is False:
            raise DataError(
                f"{partial}: another command is writing it. Wait for it, or choose another name."
            )
        log = _log_of(partial, path, inputs or {})
        with _kept(partial, log, n_items) if inputs is not None else _removed(partial):
            _begin_or_continue(partial, log, n_items)
            writer = open_writer(str(partial), path, backend)
            with closing(ResumableDatabase(writer, log)) as database:
                _remove_unlogged(partial, writer, log)
                yield database
                database.commit()
                database.finish_transaction()
                writer.complete(database.n_records)
        give_final_name(partial, path)
        Path(path, _LOG_NAME).unlink()


def _log_of(partial: Path, path: str, inputs: Mapping[str, str]) -> ConversionLog:
    """Return the log of the conversion in a folder, or a new one if nothing was stored."""
    file = partial / _LOG_NAME
    if not file.exists() and any(partial.iterdir()):
        raise leftover_error(partial)
    log = read_conversion_log(file, path) if file.exists() else None
    if log is None or not log.n_records:
        return ConversionLog(file, inputs, DatasetSurvey(path))
    names = dict.fromkeys([*log.inputs, *inputs])
    changes = [
        f"{name} was {log.inputs.get(name) or 'not given'} and is {inputs.get(name) or 'not given'}"
        for name in names
        if log.inputs.get(name) != inputs.get(name)
    ]
    if changes:
        raise DataError(
            f"{partial}: this conversion was begun with other inputs: {'; '.join(changes)}. Repeat "
            f"the command with the old ones, which continues it, or remove it (rm -r {partial})."
        )
    return log


def _begin_or_continue(partial: Path, log: ConversionLog, n_items: int) -> None:
    if log.n_records:
        logger.info("Continuing %s after %d of %d images.", partial, log.n_items, n_items)
        return
    for entry in partial.iterdir():  # of a process that was stopped before it stored anything
        entry.unlink()
    log.write_inputs()


def _remove_unlogged(partial: Path, writer: Writer, log: ConversionLog) -> None:
    """Remove the records of a transaction whose line in the log is missing."""
    n_records = writer.remove_tail(numbered_key(log.n_items, ""))
    if n_records not in (None, log.n_records):
        raise DataError(
            f"{partial}: it holds {n_records} records, but its {_LOG_NAME} says {log.n_records}: "
            "files were changed or lost"
        )


@contextmanager
def _removed(partial: Path) -> Iterator[None]:
    """Remove the folder if the block fails."""
    try:
        yield
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def _kept(partial: Path, log: ConversionLog, n_items: int) -> Iterator[None]:
    """Keep what has been stored if the block fails, and add to the error how to continue."""
    try:
        yield
    except BaseException as error:
        if log.n_records:
            error.add_note(
                f"{partial} has {log.n_items} of {n_items} images: repeat the command to continue, "
                f"or remove it (rm -r {partial})"
            )
        else:
            _remove_folder(partial)
        raise


def _remove_folder(partial: Path) -> None:
    """Remove a folder, and its log last: if this is interrupted, the next command begins again."""
    with suppress(OSError):
        for entry in partial.iterdir():
            if entry.name != _LOG_NAME:
                entry.unlink()
    shutil.rmtree(partial, ignore_errors=True)
