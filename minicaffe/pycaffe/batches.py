"""Samples for a net of a fixed batch size: as many as that, or any number in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minicaffe.errors import NetError
from minicaffe.ops.backend import HostArray, Shape

if TYPE_CHECKING:
    from minicaffe.pycaffe.net import Net

Arrays = Mapping[str, HostArray]


def require_names(given: Iterable[str], known: Sequence[str], message: str) -> None:
    """Raise `message`, with a note, unless the names given are the ones known."""
    if set(given) != set(known):
        error = NetError(message)
        error.add_note(f"Given: {', '.join(given)}; the net has: {', '.join(known) or 'none'}")
        raise error


def require_batch(name: str, values: npt.ArrayLike, shape: Shape, message: str) -> None:
    """Raise `message`, with a note, unless there are as many samples as in `shape`."""
    given = np.shape(values)
    if given[:1] != shape[:1]:
        error = NetError(message)
        error.add_note(f'"{name}" has shape {shape} and was given {given}')
        raise error


def split(arrays: Arrays, batch_size: int) -> Iterator[dict[str, Any]]:
    """Yield the arrays batch by batch; the last batch is filled up with zeros.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        All with the same number of samples along the first axis.
    batch_size : int
        Number of samples in a batch.
    """
    n = _samples(arrays)
    for begin in range(0, n, batch_size):
        batch = {name: np.asarray(x)[begin : begin + batch_size] for name, x in arrays.items()}
        missing = begin + batch_size - n
        if missing > 0:
            batch = {
                name: np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
                for name, x in batch.items()
            }
        yield batch


def forward_all(net: Net, blobs: Sequence[str] | None, inputs: Arrays) -> dict[str, HostArray]:
    """Return what all samples of the inputs give; see `Net.forward_all`."""
    outputs: dict[str, list[HostArray]] = {}
    for batch in net._batch(dict(inputs)):
        _collect(outputs, net.forward(blobs, **batch))
    return _joined(outputs, _samples(inputs))


def forward_backward_all(
    net: Net, blobs: Sequence[str] | None, diffs: Sequence[str] | None, arrays: Arrays
) -> tuple[dict[str, HostArray], dict[str, HostArray]]:
    """Return outputs and gradients for all samples; see `Net.forward_backward_all`."""
    outputs: dict[str, list[HostArray]] = {}
    gradients: dict[str, list[HostArray]] = {}
    forward = net._batch({name: arrays[name] for name in net.inputs if name in arrays})
    backward = net._batch({name: arrays[name] for name in net.outputs if name in arrays})
    nothing: dict[str, Any] = {}
    for inputs, top_diffs in zip_longest(forward, backward, fillvalue=nothing):
        _collect(outputs, net.forward(blobs, **inputs))
        _collect(gradients, net.backward(diffs, **top_diffs))
    n = _samples(arrays)
    return _joined(outputs, n), _joined(gradients, n)


def _samples(arrays: Arrays) -> int:
    return len(next(iter(arrays.values()))) if arrays else 0


def _collect(into: dict[str, list[HostArray]], batch: Arrays) -> None:
    for name, values in batch.items():
        # The views show the next batch as soon as that has run.
        into.setdefault(name, []).append(np.atleast_1d(values.copy()))


def _joined(batches: Mapping[str, list[HostArray]], n: int) -> dict[str, HostArray]:
    """Join the batches and cut off what the zeros at the end gave."""
    return {name: np.concatenate(values)[:n] for name, values in batches.items()}
