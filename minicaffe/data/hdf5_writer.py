"""Writer of HDF5 files that grow by rows: for HDF5Output and extract_features.

A write that fails inside the HDF5 library leaves objects behind that end the process when they are
freed. So the library writes to a file object that stores the error, and that is asked afterwards.
"""

from __future__ import annotations

import io
import os
import threading
import weakref
from contextlib import ExitStack
from typing import BinaryIO

import h5py

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import DataError, MinicaffeError
from minicaffe.log import logger
from minicaffe.ops.backend import HostArray


class Hdf5Writer:
    """A file whose datasets grow by the rows of every batch.

    It is written to a temporary file, which replaces `path` when the writer is closed, at the
    latest at the end of the program. A writer without rows leaves `path` as it is.

    Parameters
    ----------
    path : str

    Raises
    ------
    DataError
        If the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._output = _Output(path)
        self._finalizer = weakref.finalize(self, _close_forgotten, self._output)

    def append(self, name: str, rows: HostArray) -> None:
        """Add rows, shape (n, ...), to a dataset, which the first ones create.

        Raises
        ------
        DataError
            If the rows differ in shape from the earlier ones, or cannot be written; in the second
            case the temporary file is removed.
        """
        file = self._output.file
        if name not in file:
            self._output.has_rows = True
            file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
        elif file[name].shape[1:] != rows.shape[1:]:
            raise DataError(
                f'{self._path}: dataset "{name}" has rows of shape {file[name].shape[1:]}; those '
                f"of this batch have {rows.shape[1:]}. All batches must have rows of one shape."
            )
        else:
            dataset = file[name]
            n = len(dataset)
            dataset.resize(n + len(rows), axis=0)
            dataset[n:] = rows
        self._output.check()

    def flush(self) -> None:
        """Write what was added to the temporary file."""
        self._output.file.flush()
        self._output.check()

    def close(self) -> None:
        """Finish the file and give it its name; closing twice does nothing.

        Raises
        ------
        DataError
            If it cannot be written; an existing file is then unchanged.
        """
        if self._finalizer.detach():
            self._output.close()

    def discard(self) -> None:
        """Remove the temporary file; an existing file is unchanged."""
        if self._finalizer.detach():
            self._output.discard()


class _Output:
    """The temporary file of a writer."""

    _paths: set[str] = set()
    _lock = threading.Lock()

    def __init__(self, path: str) -> None:
        self.path, self._process = path, os.getpid()
        self.has_rows = False
        self._real = os.path.realpath(path)
        with self._lock:
            if self._real in self._paths:
                raise DataError(
                    f"{path}: another layer of this program writes this file. Give each HDF5Output "
                    "a file_name of its own; in a notebook, delete the old net first (del net)."
                )
            self._paths.add(self._real)
        self._stack = ExitStack()
        try:
            self._target = _StoredErrors(self._stack.enter_context(write_atomically(path)))
        except MinicaffeError as error:
            self._paths.discard(self._real)
            raise DataError(str(error)) from error
        self.file = h5py.File(self._target, "w", libver="earliest")
        self._is_open = True

    def check(self) -> None:
        """Raise the error of a write that has failed, after removing the file."""
        if self._target.error is not None:
            self.close()

    def close(self) -> None:
        """Close the file; it replaces `path` if everything was written."""
        if not self.has_rows:
            self.discard()
        elif self._is_open:
            try:
                self._leave(None)
            except MinicaffeError as error:
                raise DataError(str(error)) from error

    def discard(self) -> None:
        """Close and remove the file."""
        if self._is_open:
            try:
                self._leave(_Discarded())
            except _Discarded:
                return

    def _leave(self, reason: Exception | None) -> None:
        self._is_open = False
        if self._process != os.getpid():  # a forked process shares the file with its parent
            return
        try:
            with self._stack:
                self.file.close()
                if error := reason or self._target.error:
                    raise error
        finally:
            self._paths.discard(self._real)


class _Discarded(Exception):
    """The file is not wanted."""


class _StoredErrors(io.RawIOBase):
    """A file whose writes always succeed; the first error is stored, and ends the writing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; every read and write seeks again, because one of them may have failed."""
        if whence == os.SEEK_END:
            self._at = self._file.seek(0, os.SEEK_END) if self.error is None else 0
        else:
            self._at = offset + (self._at if whence == os.SEEK_CUR else 0)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read; behind the end of the file are zeros."""
        found = b""
        if self.error is None:
            self._file.seek(self._at)
            found = self._file.read(len(buffer))
        buffer[:] = found + bytes(len(buffer) - len(found))
        self._at += len(buffer)
        return len(buffer)

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        """Write, unless an earlier write has failed."""
        size = len(data)
        if self.error is None:
            try:
                self._file.seek(self._at)
                self._file.write(data)
            except OSError as error:
                self.error = error
        self._at += size
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file."""
        size = self._at if size is None else size
        if self.error is None:
            try:
                self._file.truncate(size)
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Pass on what is buffered."""
        if self.error is None:
            try:
                self._file.flush()
            except OSError as error:
                self.error = error


def _close_forgotten(output: _Output) -> None:
    """Close the output of a writer that was not closed; nobody could catch an error."""
    try:
        output.close()
    except DataError as error:
        logger.error(str(error))
