"""Files of clips with values for each voxel, as C3D writes them, and lists of such files."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.records.base import FileRecord
from minicaffe.data.records.listed import ListedRecords
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.path_hints import missing_file_hint, one_line
from minicaffe.random import RandomStream
from minicaffe.text_file import ForeignBytes, read_text

Floats = NDArray[np.float32]
# Clips, channels, frames, rows and columns.
_HEADER = struct.Struct("<5i")


def read_voxels(path: str) -> Floats:
    """Read a file of C3D: five int32, 1, channels, frames, rows and columns; the float32 values.

    Parameters
    ----------
    path : str

    Returns
    -------
    ndarray, float32, shape (channels, frames, rows, columns)

    Raises
    ------
    DataError
        If there is no such file, or it holds something else.
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = missing_file_hint(path)
        raise DataError(f"{one_line(path)}: the clip cannot be read: {reason}.{hint}") from error
    if len(content) >= _HEADER.size:
        n, *shape = _HEADER.unpack_from(content)
        size = 4
        for length in shape:
            size *= max(length, 0)
        if n == 1 and size and _HEADER.size + size == len(content):
            values = np.frombuffer(content, "<f4", offset=_HEADER.size)
            return values.reshape(shape).astype(np.float32)
    raise DataError(
        f"{one_line(path)}: not a clip of float32 values: five numbers, 1, channels, frames, "
        f"rows and columns, must tell the size of the file, {len(content)} bytes"
    )


@dataclass(frozen=True, slots=True)
class VoxelRecord(FileRecord):
    """A clip of a list."""

    def read(self) -> Floats:
        """Read the file."""
        return read_voxels(self.path)


class VoxelRecords(ListedRecords):
    """Reads a list of clips: a line is a path.

    Parameters
    ----------
    source : str
        The list.
    shuffle : RandomStream, optional
        Seed and name of the random order.

    Raises
    ------
    DataError
        If the list cannot be used.
    """

    def __init__(self, source: str, shuffle: RandomStream | None = None) -> None:
        logger.info("Opening file %s", source)
        rule = "a line of the list is the path of a clip"
        lines = read_text(source, "the list", ForeignBytes.ESCAPE, rule).split("\n")
        self._source_path = source
        self._paths = [(i, line.strip()) for i, line in enumerate(lines, start=1) if line.strip()]
        if not self._paths:
            raise DataError(f"{source}: the list is empty; {rule}.")
        super().__init__(source, len(self._paths), shuffle)

    def record(self, index: int) -> VoxelRecord:
        """Return the record of a clip of the list, counted from 0."""
        line, path = self._paths[index]
        return VoxelRecord(f"{self._source_path}:{line}", path, 0)
