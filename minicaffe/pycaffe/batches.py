"""Batches of a net's fixed size: checks, splitting with zero padding, joining of results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from minicaffe.errors import NetError
from minicaffe.ops.backend import HostArray, Shape

Arrays = Mapping[str, HostArray]


def require_batches(
    arrays: Mapping[str, npt.ArrayLike],
    shapes: Mapping[str, Shape],
    wrong_names: str,
    wrong_size: str,
) -> None:
    """Raise pycaffe's error, with a note, unless the arrays match the blobs.

    Parameters
    ----------
    arrays : mapping of str to array_like
        The given arrays.
    shapes : mapping of str to tuple of int
        Shapes of the blobs that arrays must be given for, with the batch size first.
    wrong_names, wrong_size : str
        Messages for other names, and for an array with another number of samples.
    """
    if set(arrays) != set(shapes):
        error = NetError(wrong_names)
        error.add_note(f"Given: {', '.join(arrays)}; the net has: {', '.join(shapes) or 'none'}")
        raise error
    for name, values in arrays.items():
        given = np.shape(values)
        if given[:1] != shapes[name][:1]:
            error = NetError(wrong_size)
            error.add_note(f'"{name}" has shape {shapes[name]}; the given array has {given}')
            raise error


def split(arrays: Arrays, batch_size: int) -> Iterator[dict[str, HostArray]]:
    """Yield the arrays batch by batch; the last batch is padded with zeros.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        All with the same number of samples along the first axis.
    batch_size : int
        Number of samples in a batch.
    """
    n = n_samples(arrays)
    for begin in range(0, n, batch_size):
        batch = {name: np.asarray(x)[begin : begin + batch_size] for name, x in arrays.items()}
        missing = begin + batch_size - n
        if missing > 0:
            batch = {
                name: np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
                for name, x in batch.items()
            }
        yield batch


def copies(views: Arrays) -> Arrays:
    """Return copies of a batch's arrays, because the next batch overwrites the views."""
    return {name: np.atleast_1d(values.copy()) for name, values in views.items()}


def joined(batches: Sequence[Arrays], n: int) -> dict[str, HostArray]:
    """Return the first `n` samples of the concatenated batches; the rest is zero padding."""
    names = batches[0] if batches else ()
    return {name: np.concatenate([batch[name] for batch in batches])[:n] for name in names}


def n_samples(arrays: Arrays) -> int:
    """Return the number of samples, the length of the first array; 0 without arrays."""
    return len(next(iter(arrays.values()))) if arrays else 0
