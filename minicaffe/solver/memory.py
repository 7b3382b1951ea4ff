"""Estimate of the GPU memory that a training needs, checked before the first iteration.

It counts values and gradients of the blobs in the backend's type, gradients and history of the
parameters, and the largest workspace that a convolution may request (its input and output once
more). Memory that is allocated already, such as that of the parameters, is not counted again.
Layers that run on reference kernels, and blobs that two layers use in different layouts, need more
than this estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minicaffe.errors import DeviceMemoryError
from minicaffe.net import Net
from minicaffe.net.builder import BYTES_PER_VALUE
from minicaffe.ops.backend import Backend, Tensor

_MIB = 1 << 20


@dataclass(frozen=True)
class MemoryDemand:
    """Bytes that a training has yet to allocate.

    Attributes
    ----------
    activations : int
        Values and gradients of the training net's blobs, and the workspace. Proportional to the
        batch size.
    planned : int
        Memory that the training net's kernels allocated when they were planned. Proportional to
        the batch size as well.
    rest : int
        The test nets' blobs, gradients and history of the parameters.
    batch : int
        Number of samples in a batch of the training net.
    """

    activations: int
    planned: int
    rest: int
    batch: int

    @property
    def total(self) -> int:
        """The bytes that must be free."""
        return self.activations + self.rest

    def largest_batch(self, free: int) -> int:
        """Return the largest batch that fits if so many bytes are free now; 0 if none does."""
        each = (self.activations + self.planned) / self.batch
        return max(0, int((free + self.planned - self.rest) / each)) if each else self.batch


def check_memory(
    backend: Backend, net: Net, test_nets: Sequence[Net], history: Sequence[Tensor], before: int
) -> None:
    """Raise an error if the training does not fit into the device's memory.

    Parameters
    ----------
    backend : Backend
    net, test_nets : Net
        Built, and not run yet.
    history : sequence of Tensor
        The history of the solver's rule.
    before : int
        The free bytes before the nets were built.

    Raises
    ------
    DeviceMemoryError
        The message has the needed and the free memory, and the largest batch_size that would fit.
    """
    free = backend.free_bytes() or 0
    demand = _demand(backend, net, test_nets, history, before - free)
    if demand.total <= free:
        return
    largest = demand.largest_batch(free)
    advice = (
        f"The largest batch_size that fits is about {largest}, instead of {demand.batch}; with "
        "iter_size larger by the same factor the updates stay what they are."
        if largest
        else "Not even a batch_size of 1 fits: use a GPU with more memory, or a smaller net."
    )
    raise DeviceMemoryError(
        f'{net.source.where()}: training net "{net.name}" needs about {demand.total / _MIB:.0f} '
        f"MiB of GPU memory, and {free / _MIB:.0f} MiB are free. {advice} nvidia-smi shows which "
        "other programs hold memory."
    )


def _demand(
    backend: Backend,
    net: Net,
    test_nets: Sequence[Net],
    history: Sequence[Tensor],
    allocated: int,
) -> MemoryDemand:
    blobs = [parameter.blob for parameter in net.parameters]
    parameters = BYTES_PER_VALUE * sum(blob.count for blob in blobs)
    of_parameters = [*(blob.diff for blob in blobs), *history]
    values = [tensor for one in test_nets for tensor in _values(one)]
    rest = backend.missing_bytes(of_parameters, are_activations=False)
    rest += backend.missing_bytes(values, are_activations=True)
    activations = backend.missing_bytes([*_values(net), *_gradients(net)], are_activations=True)
    first = next((blob.shape for blob in net.blobs.values() if blob.shape), (1,))
    return MemoryDemand(
        activations + _workspace(backend, [net, *test_nets]),
        max(0, allocated - parameters),
        rest,
        max(first[0], 1),
    )


def _values(net: Net) -> list[Tensor]:
    return [blob.data for blob in net.blobs.values()]


def _gradients(net: Net) -> Iterator[Tensor]:
    """Yield the gradients that a backward pass writes."""
    for step in net.steps:
        if not step.needs_backward:
            continue
        for blob, is_wanted in zip(step.bottom, step.propagate_down, strict=True):
            if is_wanted:
                yield blob.diff


def _workspace(backend: Backend, nets: Sequence[Net]) -> int:
    """Return the largest workspace of a convolution, which copies both blobs to another layout."""
    sizes = [
        backend.missing_bytes(
            [backend.tensor(step.bottom[0].shape), backend.tensor(step.top[0].shape)],
            are_activations=True,
        )
        for net in nets
        for step in net.steps
        if step.layer.needs_workspace
    ]
    return max(sizes, default=0)
