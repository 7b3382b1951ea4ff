"""Rows of labels that blanks pad or interrupt."""

from __future__ import annotations

from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.backends.reference.kernels.loss import rows
from minicaffe.ops.backend import Array, ArrayModule


def pack(xp: ArrayModule, given: Array, keep: Array, rest: int) -> tuple[Array, Array]:
    """Move the entries of each row that are kept to its front, in order.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    given : int array (N, L)
    keep : bool array (N, L)
    rest : int
        Fills the places behind.

    Returns
    -------
    packed : int array (N, L)
    lengths : int array (N,)
    """
    packed = xp.full(given.shape, rest, given.dtype)
    samples, columns = xp.nonzero(keep)
    packed[samples, xp.cumsum(keep, 1)[samples, columns] - 1] = given[samples, columns]
    return packed, keep.sum(1)


def label_rows(
    xp: ArrayModule, labels: Array, n_classes: int, blank: int, rest: int
) -> tuple[Array, Array]:
    """Return the labels of each sample, (N, ...), without blanks, and their numbers.

    The labels are (N, L), with `rest` behind the last of each row.

    Raises
    ------
    LabelError
        If a label is not a class. Only on the host: a GPU is not waited for.
    """
    classes, keep = class_indices(xp, rows(labels), n_classes, blank)
    return pack(xp, classes, keep, rest)
