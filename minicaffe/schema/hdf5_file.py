"""HDF5 files open for reading, whose damage raises one kind of error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import MinicaffeError
from minicaffe.schema.unpacked_size import check_unpacked_size

# What h5py raises for files that are missing, damaged, or of other contents than expected.
_ERRORS = (
    *(OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, IndexError),
    *(OverflowError, MemoryError, NotImplementedError, EOFError),
)


@contextmanager
def open_hdf5(path: str | Path, problem: Callable[[str], MinicaffeError]) -> Iterator[h5py.File]:
    """Open a file; the error that `problem` makes of a text replaces those of h5py in the block."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except MinicaffeError:
        raise
    except _ERRORS as error:
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        raise problem(text or type(error).__name__) from error


def check_datasets(
    path: str | Path, datasets: Iterable[h5py.Dataset], error: type[MinicaffeError]
) -> None:
    """Raise `error` if datasets together are too large for their file; see `unpacked_size`."""
    check_unpacked_size(path, sum(4 * math.prod(data.shape) for data in datasets), error)


def read_floats(data: h5py.Dataset) -> NDArray[np.float32]:
    """Return the values of a dataset of numbers as float32."""
    if data.dtype.kind not in "fiub" or data.dtype.itemsize > 16:
        raise TypeError(f'dataset "{data.name}" holds {data.dtype}, not numbers')
    return np.asarray(data, np.float32)
