"""File that says how far a conversion is: its inputs, and what has reached the database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from minicaffe.atomic_file import sync_folder
from minicaffe.data.survey import DatasetSurvey, SurveyCounts
from minicaffe.errors import DataError


class _Batch(TypedDict):
    """A line of the file: a transaction that is on the disk."""

    items: int  # of the list, from its beginning: stored and skipped
    records: int  # in the database
    survey: SurveyCounts  # of the images of this transaction


@dataclass
class ConversionLog:
    """What a database is made from, and how far its conversion is.

    The first line of the file holds the inputs. Each further line is written after its records have
    reached the disk, so a line that was lost or torn by a power failure costs work, and never says
    too much.

    Attributes
    ----------
    path : Path
    inputs : mapping of str to str
        What the records depend on, by the names of arguments and flags.
    survey : DatasetSurvey
        Of all records, and of the items that were skipped.
    n_items : int
        Number of items of the list that are stored or skipped.
    n_records : int
        Number of records in the database.
    """

    path: Path
    inputs: Mapping[str, str]
    survey: DatasetSurvey
    n_items: int = 0
    n_records: int = 0

    def write_inputs(self) -> None:
        """Write the inputs to a new file."""
        try:
            with self.path.open("wb") as file:
                file.write(_line(self.inputs))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error
        sync_folder(self.path.parent)
        sync_folder(self.path.absolute().parent.parent)

    def append(self, n_items: int, n_records: int, survey: DatasetSurvey) -> None:
        """Add a transaction that is on the disk, with the survey of its images."""
        batch: _Batch = {"items": n_items, "records": n_records, "survey": survey.counts()}
        try:
            with self.path.open("ab") as file:
                file.write(_line(batch))
        except OSError as error:
            raise self._unwritable(error) from error
        self._add(batch)

    def _add(self, batch: _Batch) -> None:
        self.n_items, self.n_records = batch["items"], batch["records"]
        self.survey.add_counts(batch["survey"])

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(f"{self.path}: cannot be written: {error.strerror}. Is the disk full?")


def _line(content: object) -> bytes:
    return json.dumps(content).encode() + b"\n"


def read_conversion_log(path: Path, name: str) -> ConversionLog | None:
    """Return the log of a conversion that was interrupted, and cut off a torn line at its end.

    Parameters
    ----------
    path : Path
    name : str
        The database, for the survey.

    Returns
    -------
    ConversionLog or None
        None if there is no whole first line, so that nothing was converted.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        entries = list(_whole_entries(lines))
        os.truncate(path, sum(map(len, lines[: len(entries)])))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    if not entries:
        return None
    log = ConversionLog(path, entries[0], DatasetSurvey(name))
    for batch in entries[1:]:
        log._add(batch)
    return log


# Any: the first entry holds the inputs, the others are a _Batch.
def _whole_entries(lines: list[bytes]) -> Iterator[Any]:
    """Yield the content of lines up to the first that a power failure left torn."""
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return
