"""Checks of labels and row numbers: integers stored as floats, validated before indexing."""

from __future__ import annotations

import numpy as np

from minicaffe.errors import LabelError
from minicaffe.ops.backend import Array, ArrayModule


def class_indices(
    xp: ArrayModule, labels: Array, n_classes: int, ignore_label: int | None = None
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
    ignore_label : int, optional
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
    if ignore_label is None:
        counts = xp.ones(labels.shape, bool)
    else:
        counts = labels != ignore_label
        labels = xp.where(counts, labels, 0)
    return _whole(xp, labels, n_classes, "label", "class"), counts


def row_numbers(xp: ArrayModule, numbers: Array, n_rows: int) -> Array:
    """Return row numbers as int64, valid indices of a table of `n_rows` rows.

    Raises
    ------
    LabelError
        If there is no such row. Only on the host: a GPU is not waited for.
    """
    return _whole(xp, numbers, n_rows, "row number", "row")


def image_numbers(xp: ArrayModule, numbers: Array, n_images: int) -> Array:
    """Return image numbers as int64, valid indices of a batch of `n_images`.

    Raises
    ------
    LabelError
        If there is no such image. Only on the host: a GPU is not waited for.
    """
    return _whole(xp, numbers, n_images, "image number", "image of the batch")


def pixel_numbers(xp: ArrayModule, numbers: Array, n_pixels: int) -> Array:
    """Return positions in a plane as int64, valid indices of its `n_pixels` pixels.

    Raises
    ------
    LabelError
        If there is no such pixel. Only on the host: a GPU is not waited for.
    """
    return _whole(xp, numbers, n_pixels, "position", "pixel")


def _whole(xp: ArrayModule, given: Array, n: int, noun: str, target: str) -> Array:
    """Return `given` as int64; raises a LabelError unless it is whole and in 0 .. n - 1."""
    with np.errstate(invalid="ignore"):  # NaN becomes an integer, which it does not equal
        whole = given.astype(np.int64)
    if xp is np:
        wrong = (whole < 0) | (whole >= n) | (whole != given)
        if wrong.any():
            at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            raise LabelError(int(at[0]) if at else 0, float(given[at]), n, noun, target)
    return whole
