"""Non-maximum suppression, on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minicaffe.ops.backend import HostArray

# Items whose overlaps with the kept ones, and with each other, are computed at once.
_BLOCK = 256


@dataclass(frozen=True)
class Removal:
    """Which items a kept one removes.

    Parameters
    ----------
    threshold : float
        Items that overlap more are removed.
    at_threshold : bool
        Whether those that overlap exactly so much are removed as well.
    eta : float
        Factor of the threshold after each kept item, as long as the threshold is above 0.5.
    """

    threshold: float
    at_threshold: bool = False
    eta: float = 1.0


def keep_maxima(
    n: int,
    overlaps: Callable[[HostArray, HostArray], HostArray],
    removal: Removal,
    limit: int | None = None,
) -> HostArray:
    """Return the items that remain when each kept item removes those that follow and overlap it.

    Parameters
    ----------
    n : int
        Number of items, in order of descending score.
    overlaps : callable
        Takes the indices of kept items (A,) and of others (B,); returns float array (A, B). NaN
        removes nothing.
    removal : Removal
    limit : int, optional
        The largest number of items to keep.

    Returns
    -------
    int array
        Indices, ascending.
    """
    exceeds = np.greater_equal if removal.at_threshold else np.greater
    threshold, kept = removal.threshold, np.zeros(0, np.int64)
    most = n if limit is None else limit
    for begin in range(0, n, _BLOCK):
        block = np.arange(begin, min(begin + _BLOCK, n))
        # The threshold never rises, so what exceeds it now is removed in any case.
        if len(kept):
            largest = np.fmax.reduce(overlaps(kept, block), axis=0)
            is_left = ~exceeds(largest, threshold)
            block, largest = block[is_left], largest[is_left]
        table = overlaps(block, block)
        if not len(kept):
            largest = np.full(len(block), -np.inf, table.dtype)
        chosen: list[int] = []
        for k, row in enumerate(table):
            # In the type of the overlaps, as in comparisons of arrays.
            if exceeds(largest[k], table.dtype.type(threshold)):
                continue
            if len(kept) + len(chosen) == most:
                break
            chosen.append(k)
            np.fmax(largest, row, out=largest)
            if removal.eta < 1 and threshold > 0.5:
                threshold *= removal.eta
        kept = np.concatenate([kept, block[chosen]])
        if len(kept) == most:
            break
    return kept
