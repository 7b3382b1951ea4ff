"""Non-maximum suppression, on the host."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicaffe.ops.backend import HostArray


def keep_maxima(
    n: int, is_near: Callable[[int, HostArray], HostArray], limit: int | None = None
) -> HostArray:
    """Return the items that remain when each kept item removes those near it that follow.

    Parameters
    ----------
    n : int
        Number of items, in order of descending score.
    is_near : callable
        Takes the index of a kept item and those of others, int array (m,); returns bool array (m,).
    limit : int, optional
        The largest number of items to keep.

    Returns
    -------
    int array
        Indices, ascending.
    """
    left = np.arange(n)
    kept: list[int] = []
    while len(left) and len(kept) != limit:
        first, left = int(left[0]), left[1:]
        kept.append(first)
        left = left[~is_near(first, left)]
    return np.array(kept, np.int64)
