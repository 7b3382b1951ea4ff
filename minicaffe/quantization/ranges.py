"""Ranges of activations: histograms of magnitudes, and the magnitude above which to clip.

Clipping large values leaves smaller steps for the many small ones. The rules are

    max         nothing is clipped
    percentile  0.01 % of the values are clipped
    kl          the distribution after clipping and rounding has the least Kullback-Leibler
                divergence from the one before (Migacz, "8-bit inference with TensorRT", 2017)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

BINS = 2048
_SHARE_INSIDE = 0.9999
# The rule kl compares so many thresholds, at least one sixteenth of the largest value: if hardly
# any value but those of the last bin were kept, both distributions would be that bin.
_CANDIDATES = 256
_FEWEST_BINS = BINS // 16


class Magnitudes:
    """Histogram of the absolute values of a tensor over several batches.

    Parameters
    ----------
    largest : float
        The largest absolute value of all batches, which is known from an earlier pass.

    Attributes
    ----------
    counts : ndarray of int64, shape (BINS,)
        Of the values that are not zero; bins are equally wide, from 0 to `largest`.
    zeros : int
        The number of zeros.
    """

    def __init__(self, largest: float) -> None:
        self.largest = largest
        self.counts: Counts = np.zeros(BINS, np.int64)
        self.zeros = 0

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Count the values of a batch."""
        magnitudes = np.abs(values[values != 0])
        self.zeros += values.size - magnitudes.size
        if self.largest > 0:
            bins = (magnitudes * (BINS / self.largest)).astype(np.int64)
            self.counts += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)


def fraction_bits(threshold: float, bits: int) -> int:
    """Return the bits after the point with which numbers of some bits reach a threshold.

    This is Ristretto's rule: the integer part has ceil(log2(threshold)) + 1 bits, one for the sign.
    If the threshold is a power of two, it is itself just out of reach.
    """
    return bits - 1 - int(np.ceil(np.log2(threshold))) if threshold > 0 else bits - 1


def _largest(magnitudes: Magnitudes, bits: int) -> float:
    return magnitudes.largest


def _percentile(magnitudes: Magnitudes, bits: int) -> float:
    inside = magnitudes.zeros + np.cumsum(magnitudes.counts)
    edge = int(np.searchsorted(inside, _SHARE_INSIDE * inside[-1])) + 1
    return magnitudes.largest * edge / BINS


def _least_divergence(magnitudes: Magnitudes, bits: int) -> float:
    levels = 2 ** (bits - 1)
    if levels >= BINS or not magnitudes.counts.any():
        return magnitudes.largest
    fewest = max(levels, _FEWEST_BINS)
    step = max(1, (BINS - fewest) // _CANDIDATES)
    edges = range(BINS, fewest - 1, -step)
    best = min(edges, key=lambda edge: divergence(magnitudes.counts, edge, levels))
    return magnitudes.largest * best / BINS


def divergence(counts: Counts, edge: int, levels: int) -> float:
    """Return the divergence of a clipped and rounded distribution from the clipped one.

    Parameters
    ----------
    counts : ndarray of int64, shape (n,)
        A histogram.
    edge : int
        Number of bins that are kept; values in later bins count as values of the last bin kept.
    levels : int
        Number of levels that represent the kept bins; each stands for bins side by side, over
        which it spreads their values evenly.

    Returns
    -------
    float
        Infinite if the clipped values fall into a bin that the rounded distribution lacks.
    """
    kept = counts[:edge].astype(np.float64)
    clipped = kept.copy()
    clipped[-1] += counts[edge:].sum()
    level = np.arange(edge) * levels // edge
    sums = np.bincount(level, weights=kept, minlength=levels)
    spread = (sums / np.bincount(level, minlength=levels))[level]
    present = clipped > 0
    if not spread[present].all():
        return float("inf")
    p, q = clipped[present] / clipped.sum(), spread[present] / kept.sum()
    return float(np.sum(p * np.log(p / q)))


# Each returns the magnitude above which values are clipped, for numbers of some bits.
RANGE_RULES: dict[str, Callable[[Magnitudes, int], float]] = {
    "max": _largest,
    "percentile": _percentile,
    "kl": _least_divergence,
}
