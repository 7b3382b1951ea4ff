"""Labels: whole numbers stored as floats, checked before they index anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicaffe.errors import LabelError
from minicaffe.ops.backend import Array


def class_indices(
    xp: Any, labels: Array, n_classes: int, ignore_label: int | None
) -> tuple[Array, Array]:
    """Return the classes of the labels and which of them count.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    labels : array, any shape
        Whole numbers as floats; the first axis is the sample.
    n_classes : int
        Labels that count lie in 0 .. n_classes - 1.
    ignore_label : int or None
        The label that counts for nothing.

    Returns
    -------
    classes : int64 array like labels
        Safe to index with: 0 where a label does not count.
    counts : bool array like labels
        False where the label is `ignore_label`.

    Raises
    ------
    LabelError
        If a label that counts is not a class. Only on the host: a GPU is not waited for.
    """
    counts = xp.ones(labels.shape, bool) if ignore_label is None else labels != ignore_label
    classes = xp.where(counts, labels, 0).astype(np.int64)
    if xp is np:
        wrong = counts & ((classes < 0) | (classes >= n_classes) | (classes != labels))
        if wrong.any():
            at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            raise LabelError(int(at[0]) if at else 0, float(labels[at]), n_classes)
    return classes, counts
