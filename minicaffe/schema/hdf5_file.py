"""HDF5 files open for reading, whose damage raises one kind of error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

_FILTERS_OF_EQUAL_SIZE = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)


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
    """Raise `error` if datasets are too large for their file or have damaged tables of chunks.

    See `unpacked_size`. The HDF5 library reads beyond its buffers if a chunk is too short.
    """
    found = list(datasets)
    largest = (max(math.prod(data.shape), math.prod(data.chunks or (0,))) for data in found)
    check_unpacked_size(path, 4 * sum(largest), error)
    size = Path(path).stat().st_size
    for data in found:
        if data.chunks and not _are_chunks_whole(data, size):
            raise error(f'{path}: dataset "{data.name}" has a damaged table of chunks')


def _are_chunks_whole(data: h5py.Dataset, file_bytes: int) -> bool:
    """Return whether the chunks of a dataset are inside its file, each once, of plausible sizes."""
    properties = data.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    chunk_bytes = math.prod(data.chunks) * data.dtype.itemsize
    offsets = set()

    def is_wrong(chunk: Any) -> bool | None:  # h5py has no type information
        begin, size = chunk.byte_offset, chunk.size
        applied = [kind for i, kind in enumerate(filters) if not chunk.filter_mask >> i & 1]
        size -= 4 if h5py.h5z.FILTER_FLETCHER32 in applied else 0
        is_plain = all(kind in _FILTERS_OF_EQUAL_SIZE for kind in applied)
        is_size = size == chunk_bytes if is_plain else size > 0
        is_known = chunk.chunk_offset in offsets
        offsets.add(chunk.chunk_offset)
        is_inside = begin is not None and 0 < begin <= file_bytes - chunk.size
        return None if is_size and is_inside and not is_known else True  # None: go on

    iterate = getattr(data.id, "chunk_iter", None)  # HDF5 libraries before 1.12.3 lack it
    return iterate is None or iterate(is_wrong) is None


def read_floats(data: h5py.Dataset) -> NDArray[np.float32]:
    """Return the values of a dataset of numbers as float32."""
    if data.dtype.kind not in "fiub" or data.dtype.itemsize > 16:
        raise TypeError(f'dataset "{data.name}" holds {data.dtype}, not numbers')
    return np.asarray(data, np.float32)
