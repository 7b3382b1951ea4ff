"""Means over the values of all processes."""

from __future__ import annotations

import numpy as np

from minicaffe.ops.backend import HostArray
from minicaffe.ops.sync_batch_norm import SumOverRanks


def mean_over_ranks(means: HostArray, m: int, add_up: SumOverRanks) -> tuple[HostArray, int]:
    """Return the means of all processes' values, and how many values a channel they are of.

    Parameters
    ----------
    means : ndarray (C,)
        Means over the `m` values of each channel in this process; any numbers if m is 0.
    m : int
        0 or more; it may differ between processes.
    add_up : callable

    Returns
    -------
    ndarray (C,), float64
        Zeros if no process has a value.
    int
    """
    totals = np.append(means.astype(np.float64) * m, m)
    add_up(totals)
    return totals[:-1] / max(totals[-1], 1), round(totals[-1])
