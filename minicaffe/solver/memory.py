"""Estimate of the memory that a training needs, checked before the parameters are filled.

Of a GPU it counts values and gradients of the blobs in the backend's type, values, gradients and
history of the parameters, and the largest workspace that a convolution may request (its input and
output once more). Memory that is allocated already is not counted again. Layers that run on
reference kernels, and blobs that two layers use in different layouts, need more than this estimate.

Of the main memory it counts what is certainly needed; see `minicaffe.net.memory.demand`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from minicaffe.errors import DeviceMemoryError
from minicaffe.net import Net
from minicaffe.net.builder import BYTES_PER_VALUE
from minicaffe.net.memory.demand import MemoryDemand, require_memory
from minicaffe.ops.backend import Backend, Tensor

# What the blobs of nets share while a solver trains: nothing, so that values and gradients can be
# read after an iteration, as in Caffe; gradients, which costs no time; or all that it can.
MemoryUse: TypeAlias = Literal["readable", "share_gradients", "optimize"]

_MIB = 1 << 20


_SAME_UPDATES = "; with iter_size larger by the same factor the updates stay what they are"


def share_memory(use: MemoryUse, net: Net, test_nets: Sequence[Net]) -> None:
    """Let the blobs of a solver's nets share memory; parameters and outputs stay readable."""
    if use == "share_gradients":
        net.shared_memory.share_gradients()
    elif use == "optimize":
        for one in (net, *test_nets):
            one.optimize_memory()


def check_host_memory(net: Net, test_nets: Sequence[Net], n_kept: int) -> None:
    """Raise an error if the training needs more main memory than this process can have.

    Parameters
    ----------
    net, test_nets : Net
        Built, and not filled yet.
    n_kept : int
        Number of tensors that the solver keeps for each parameter: history, average, sums of parts.

    Raises
    ------
    OutOfMemory
        The message has the memory that is needed, and the largest batch_size that would fit.
    """
    # Not where values share memory already.
    drops = "" if net.shared_memory.blobs.values else ". train --optimize_memory needs less memory"
    require_memory(
        host_demand(net, test_nets, n_kept),
        f'{net.source.where()}: training net "{net.name}" needs',
        net.steps,
        advice=_SAME_UPDATES + drops,
    )


def host_demand(net: Net, test_nets: Sequence[Net], n_kept: int) -> MemoryDemand:
    """Return the main memory that a training needs at least; see `check_host_memory`."""
    demand = net.shared_memory.demand(backward=True)
    learned = sum(p.blob.count for p in net.parameters if p.needs_diff)
    rest = n_kept * learned * net.backend.dtype.itemsize
    rest += sum(one.shared_memory.demand(backward=False).activations for one in test_nets)
    return replace(demand, rest=demand.rest + rest)


def check_memory(
    backend: Backend, net: Net, test_nets: Sequence[Net], kept: Sequence[Tensor], before: int
) -> None:
    """Raise an error if the training does not fit into the device's memory.

    Parameters
    ----------
    backend : Backend
    net, test_nets : Net
        Built, and not run yet.
    kept : sequence of Tensor
        What the solver keeps for the parameters: history and averages.
    before : int
        The free bytes before the nets were built.

    Raises
    ------
    DeviceMemoryError
        The message has the needed and the free memory, and the largest batch_size that would fit.
    """
    free = backend.free_bytes() or 0
    demand = _demand(backend, net, test_nets, kept, before - free)
    if demand.total <= free:
        return
    largest = demand.largest_batch(free)
    advice = (
        f"The largest batch_size that fits is about {largest}, instead of "
        f"{demand.batch}{_SAME_UPDATES}."
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
    kept: Sequence[Tensor],
    allocated: int,
) -> MemoryDemand:
    blobs = [parameter.blob for parameter in net.parameters]
    parameters = BYTES_PER_VALUE * sum(blob.count for blob in blobs)
    missing = backend.missing_bytes([blob.data for blob in blobs], are_activations=False)
    of_parameters = [*(blob.diff for blob in blobs), *kept]
    values = [tensor for one in test_nets for tensor in _values(one)]
    rest = missing + backend.missing_bytes(of_parameters, are_activations=False)
    rest += backend.missing_bytes(values, are_activations=True)
    activations = backend.missing_bytes([*_values(net), *_gradients(net)], are_activations=True)
    first = next((blob.shape for blob in net.blobs.values() if blob.shape), (1,))
    return MemoryDemand(
        activations + _workspace(backend, [net, *test_nets]),
        max(0, allocated - (parameters - missing)),
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
