"""Rows of arrays in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.records.base import RecordPosition, RowSource
from minicaffe.errors import DataError
from minicaffe.ops.backend import Shape

Floats = NDArray[np.float32]


class ArrayRows(RowSource):
    """Reads the rows of arrays round after round, without copying them.

    Parameters
    ----------
    row_shapes : sequence of tuple of int
        Shape of a row, for each array.
    """

    def __init__(self, row_shapes: Sequence[Shape]) -> None:
        self.row_shapes = list(row_shapes)
        self._arrays: tuple[Floats, ...] = ()
        self._next = 0

    def set_arrays(self, *arrays: Floats) -> None:
        """Read these arrays, from their first row on.

        Parameters
        ----------
        *arrays : ndarray, float32, shape (n, ...)
            n is a multiple of what `take` is asked for. Neither copied nor written.
        """
        self._arrays, self._next = arrays, 0

    def take(self, n: int) -> tuple[Floats, ...]:
        """Return views of the next n rows.

        Raises
        ------
        DataError
            If no arrays have been set.
        """
        if not self._arrays:
            raise DataError(
                "there are no data yet; give them with reset (in pycaffe net.set_input_arrays) "
                "before the first forward pass"
            )
        rows = slice(self._next, self._next + n)
        self._next = rows.stop % len(self._arrays[0])
        return tuple(array[rows] for array in self._arrays)

    def skip(self, n: int) -> None:
        """Advance by n rows."""
        if self._arrays:
            self._next = (self._next + n) % len(self._arrays[0])

    def position(self) -> RecordPosition:
        """Return the next row."""
        return {"next": self._next}

    def restore(self, position: RecordPosition) -> None:
        """Continue from a row of the arrays that are set now; of other arrays, from the first."""
        row = int(position["next"])
        self._next = row if self._arrays and row < len(self._arrays[0]) else 0
