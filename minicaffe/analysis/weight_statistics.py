"""Statistics of trained parameters: range, mean, deviation, values that are not finite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class BlobStatistics:
    """Statistics of the finite values of an array; NaN if there are none.

    Parameters
    ----------
    count : int
        Number of values.
    low, high, average, deviation : float
    n_nan, n_infinite : int
        Values that are not finite.
    n_zero : int
    """

    count: int
    low: float
    high: float
    average: float
    deviation: float
    n_nan: int
    n_infinite: int
    n_zero: int


def blob_statistics(values: npt.NDArray[np.float32]) -> BlobStatistics:
    """Return the statistics of an array."""
    flat = values.ravel()
    finite = flat[np.isfinite(flat)]
    n_nan = int(np.isnan(flat).sum())
    low, high, average, deviation = (
        (
            float(finite.min()),
            float(finite.max()),
            float(finite.mean(dtype=np.float64)),
            float(finite.std(dtype=np.float64)),
        )
        if finite.size
        else (np.nan,) * 4
    )
    n_infinite = flat.size - finite.size - n_nan
    n_zero = int(flat.size - np.count_nonzero(flat))
    return BlobStatistics(flat.size, low, high, average, deviation, n_nan, n_infinite, n_zero)
