"""NumPy array files (.npy), read and written so that incomplete ones are errors."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from minicaffe.errors import DataError
from minicaffe.ops.backend import HostArray

_MAGIC = b"\x93NUMPY"
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: str | Path) -> HostArray:
    """Read an array of numbers.

    Raises
    ------
    DataError
        If the file is missing, holds something else, or is not complete.
    """
    try:
        with Path(path).open("rb") as file:
            return _read(file, path)
    except DataError:
        raise
    # NumPy parses the header with Python's tokenizer, which raises errors of many types.
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path}: cannot be read as a NumPy array: {reason}") from error


def write_npy(file: BinaryIO, array: npt.ArrayLike) -> None:
    """Write an array; a full disk raises OSError.

    NumPy writes to real files through a C stream whose last error it does not check, so that the
    end of the array could be missing. It uses the method write of other objects.
    """
    target: Any = SimpleNamespace(write=file.write)  # NumPy needs this method only
    np.save(target, array)


def _read(file: BinaryIO, path: str | Path) -> HostArray:
    head = file.read(len(_MAGIC))
    if head[:2] == b"PK":
        raise DataError(
            f"{path}: an archive of arrays (.npz); a file with one array is needed (np.save)."
        )
    if head != _MAGIC:
        raise DataError(
            f"{path}: cannot be read as a NumPy array: it does not begin with \\x93NUMPY."
        )
    file.seek(0)
    version = np.lib.format.read_magic(file)
    shape, is_fortran, dtype = _READ_HEADER[version](file)
    if dtype.kind not in "fiub":
        raise DataError(f"{path}: holds {dtype}; an array of numbers is needed.")
    content = file.read()
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"{path}: holds {len(content)} bytes of values; its header, shape {shape} of {dtype}, "
            f"says {expected}. Is the file complete?"
        )
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")
