"""Rows of HDF5 files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from minicaffe.data.records.base import (
    RecordPosition,
    RowSource,
    check_position,
    reading_order,
)
from minicaffe.errors import DataError
from minicaffe.fatal_signals import reading
from minicaffe.log import logger
from minicaffe.path_hints import missing_file_hint
from minicaffe.random import RandomStream
from minicaffe.schema.hdf5_file import check_datasets, open_hdf5, read_floats
from minicaffe.text_file import ForeignBytes, read_text

Floats = NDArray[np.float32]

_MOST_NAMES = 20  # in a message


def read_file_list(source: str) -> list[tuple[int, str]]:
    """Return line number and path of every file that a list names.

    Raises
    ------
    DataError
        If the list cannot be read or is empty.
    """
    rule = (
        "source is a list of HDF5 files, a path a line; write the path of the .h5 file into a text "
        "file"
    )
    text = read_text(source, "the list of HDF5 files", ForeignBytes.ESCAPE, rule)
    lines = enumerate(text.split("\n"), start=1)
    files = [(number, line.strip()) for number, line in lines if line.strip()]
    if not files:
        raise DataError(f"{source}: the list is empty; it needs the path of an HDF5 file a line.")
    return files


class Hdf5Rows(RowSource):
    """Reads rows across HDF5 files, round after round.

    A row is one entry of the first axis of every dataset. One file is held in memory at a time.

    Parameters
    ----------
    source : str
        A text file that names HDF5 files, a path a line, relative to the current directory.
    datasets : sequence of str
        The datasets to read from each file.
    shuffle : RandomStream, optional
        Seed and name of the random order of the files, and of the rows of each, anew in each round.

    Raises
    ------
    DataError
        If the list or the first file cannot be used.
    """

    def __init__(
        self, source: str, datasets: Sequence[str], shuffle: RandomStream | None = None
    ) -> None:
        logger.info("Loading list of HDF5 filenames from: %s", source)
        self._source, self._files = source, read_file_list(source)
        logger.info("Number of HDF5 files: %d", len(self._files))
        self._datasets, self._shuffle = list(datasets), shuffle
        self._loaded, self._arrays = -1, [np.empty(0, np.float32)]
        self._rows = np.empty(0, np.intp)
        self._index = self._row = 0  # of the file in the list, of the row in its order
        self._lengths: dict[int, int] = {}
        self.row_shapes = []
        self._seek(0, 0, 0)
        self._load(self._index)

    def take(self, n: int) -> tuple[Floats, ...]:
        """Return the next n rows of each dataset.

        Raises
        ------
        DataError
            If the next file cannot be used.
        """
        taken = tuple(np.empty((n, *shape), np.float32) for shape in self.row_shapes)
        filled = 0
        while filled < n:
            if self._row == len(self._rows):
                self._seek_next_file()
            self._load(self._index)
            rows = self._rows[self._row : self._row + n - filled]
            for array, values in zip(taken, self._arrays, strict=True):
                array[filled : filled + len(rows)] = values[rows]
            filled += len(rows)
            self._row += len(rows)
        return taken

    def skip(self, n: int) -> None:
        """Advance by n rows; of files that are passed over, only the number of rows is read."""
        while n > len(self._rows) - self._row:
            n -= len(self._rows) - self._row
            self._seek_next_file()
        self._row += n

    def count_records(self, limit: int) -> int:
        """Return the number of rows of all files, or `limit` if there are more.

        Raises
        ------
        DataError
            If a file cannot be used.
        """
        total = 0
        for index in range(len(self._files)):
            if total < limit:
                total += self._count_rows(index)
        return min(total, limit)

    def position(self) -> RecordPosition:
        """Return the round, the position in the order of files, and that in the order of rows."""
        return {"round": self._round, "file": self._file, "row": self._row}

    def restore(self, position: RecordPosition) -> None:
        """Continue from a position; list and files must be the same.

        Raises
        ------
        DataError
            If there are fewer files, or fewer rows in the file.
        """
        round_, file, row = (int(position[name]) for name in ("round", "file", "row"))
        check_position(self._source, "files", file + 1, len(self._files))
        self._seek(round_, file, 0)
        path = self._files[self._index][1]
        check_position(f"{self._source}: {path}", "rows", row, len(self._rows))
        self._row = row

    def _seek(self, round_: int, file: int, row: int) -> None:
        self._round, self._file, self._row = round_, file, row
        n = len(self._files)
        first_step = round_ * (n + 1)
        self._index = int(reading_order(n, self._shuffle, first_step)[file])
        n_rows = self._length(self._index)
        self._rows = reading_order(n_rows, self._shuffle, first_step + 1 + file)

    def _seek_next_file(self) -> None:
        rounds, file = divmod(self._file + 1, len(self._files))
        self._seek(self._round + rounds, file, 0)

    def _length(self, index: int) -> int:
        """Return the number of rows of a file, as it was when it was read first."""
        if index not in self._lengths:
            self._lengths[index] = self._count_rows(index)
        return self._lengths[index]

    def _count_rows(self, index: int) -> int:
        where = self._where(index)
        with _open(self._files[index][1], where) as file:
            return len(_dataset(file, self._datasets[0], where))

    def _load(self, index: int) -> None:
        if index == self._loaded:
            return
        where = self._where(index)
        arrays = read_datasets(self._files[index][1], self._datasets, where)
        shapes = [array.shape[1:] for array in arrays]
        for name, found, first in zip(self._datasets, shapes, self.row_shapes, strict=False):
            if found != first:
                raise DataError(
                    f'{where}: a row of dataset "{name}" has shape {found}; in the first file it '
                    f"has {first}. All files must have rows of one shape."
                )
        self._loaded, self._arrays, self.row_shapes = index, arrays, shapes

    def _where(self, index: int) -> str:
        """Return the list, the line and the path of a file."""
        line, path = self._files[index]
        return f"{self._source}:{line}: {path}"


def read_datasets(path: str, names: Sequence[str], where: str) -> list[Floats]:
    """Read datasets of equally many rows.

    Parameters
    ----------
    path : str
        The HDF5 file.
    names : sequence of str
        The datasets.
    where : str
        How messages begin.

    Returns
    -------
    list of ndarray, float32, at least one axis each
    """
    with _open(path, where) as file:
        found = [_dataset(file, name, where) for name in names]
        _check_rows(names, [len(data) for data in found], where)
        check_datasets(path, found, DataError)
        return [reading(path)(read_floats, data) for data in found]


def _open(path: str, where: str) -> AbstractContextManager[h5py.File]:
    def problem(reason: str) -> DataError:
        return DataError(
            f"{where}: cannot be read as HDF5: {reason}. Paths are relative to the current "
            f"directory, {Path.cwd()}.{missing_file_hint(path)}"
        )

    return open_hdf5(path, problem)


def _check_rows(names: Sequence[str], rows: Sequence[int], where: str) -> None:
    if len(set(rows)) > 1 or not rows[0]:
        counts = ", ".join(f'"{name}" has {n}' for name, n in zip(names, rows, strict=True))
        raise DataError(
            f"{where}: {counts} rows; every dataset must have the same number, at least 1: row i "
            "of all of them is one sample."
        )


def _dataset(file: h5py.File, name: str, where: str) -> h5py.Dataset:
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        known = ", ".join(_dataset_names(file)) or "none"
        raise DataError(
            f'{where}: no dataset "{name}"; every top of HDF5Data is read from the dataset of its '
            f"name. Known: {known}.{_group_hint(known)}"
        )
    if found.dtype.kind not in "fiub" or not found.ndim:
        raise DataError(
            f'{where}: dataset "{name}" holds {found.dtype} of shape {found.shape}; it must hold '
            "numbers, with the samples along the first axis."
        )
    return found


def _dataset_names(file: h5py.File) -> list[str]:
    """Return the names of the first datasets, with the groups that they are in: train/data."""
    names: list[str] = []

    def visit(name: str, item: object) -> bool | None:
        if isinstance(item, h5py.Dataset):
            names.append(name)
        return True if len(names) == _MOST_NAMES else None  # True ends the search

    file.visititems(visit)
    return names


def _group_hint(known: str) -> str:
    if "/" not in known:
        return ""
    return ' A dataset in a group is named with its path: top: "train/data".'
