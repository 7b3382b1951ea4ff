"""Writer of HDF5 files that grow by rows: what HDF5Output uses."""

from __future__ import annotations

import h5py

from minicaffe.errors import DataError
from minicaffe.ops.backend import HostArray


class Hdf5Writer:
    """A file whose datasets grow by the rows of every batch.

    Parameters
    ----------
    path : str
        An existing file is replaced.

    Raises
    ------
    DataError
        If the file cannot be written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._file = h5py.File(path, "w", libver="earliest")
        except OSError as error:
            raise DataError(f"{path}: the HDF5 file cannot be written: {error}.") from error

    def append(self, name: str, rows: HostArray) -> None:
        """Add rows, shape (n, ...), to a dataset, which the first ones create."""
        if name not in self._file:
            self._file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]))
            return
        dataset = self._file[name]
        if dataset.shape[1:] != rows.shape[1:]:
            raise DataError(
                f'{self._path}: dataset "{name}" has rows of shape {dataset.shape[1:]}; those of '
                f"this batch have {rows.shape[1:]}. All batches must have rows of one shape."
            )
        n = len(dataset)
        dataset.resize(n + len(rows), axis=0)
        dataset[n:] = rows

    def flush(self) -> None:
        """Bring what was added to the disk."""
        self._file.flush()

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._file.close()
