"""Agreement of label images with the true ones: counts of pixels, and intersection over union."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minicaffe.analysis.confusion import Counts
from minicaffe.data.image import Pixels
from minicaffe.errors import DataError
from minicaffe.text_width import display_width, padded


def add_pixels(counts: Counts, true: Pixels, predicted: Pixels, ignored: int) -> None:
    """Add the pixels of an image to counts, by true and predicted class.

    Parameters
    ----------
    counts : ndarray of int64, shape (classes, classes)
        Changed: counts[true, predicted].
    true, predicted : ndarray, uint8, of one shape
    ignored : int
        True label of pixels that do not count.

    Raises
    ------
    DataError
        If a true label that counts is no class.
    """
    counted = true != ignored
    labels, n = true[counted].astype(np.int64), len(counts)
    if len(labels) and labels.max() >= n:
        raise DataError(
            f"label {labels.max()}; the net tells {n} classes apart, 0 to {n - 1}, and label "
            f"{ignored} does not count (--ignore_label)"
        )
    pairs = labels * n + predicted[counted]
    counts += np.bincount(pairs, minlength=n * n).reshape(n, n)


def overlaps(counts: Counts) -> npt.NDArray[np.float64]:
    """Return the intersection over union of each class; NaN if it is neither true nor predicted."""
    right = np.diag(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    shares = np.full(len(counts), np.nan)
    np.divide(right, union, out=shares, where=union > 0)
    return shares


def segmentation_report(counts: Counts, names: Sequence[str]) -> list[str]:
    """Return lines of text: pixel accuracy, mean IoU over the classes that occur, IoU of each."""
    found = overlaps(counts)
    width = max(map(display_width, names))
    lines = [
        f"pixel accuracy = {np.trace(counts) / max(int(counts.sum()), 1):.4f}",
        f"mean IoU = {np.nanmean(found) if not np.isnan(found).all() else 0:.4f}",
    ]
    lines += [
        f"  {padded(name, width)}  {'does not occur' if np.isnan(share) else f'{share:.4f}'}"
        for name, share in zip(names, found.tolist(), strict=True)
    ]
    return lines
