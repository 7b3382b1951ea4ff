"""Check that the main memory suffices for a net, before much of it is filled.

Counted is what passes certainly write: parameters, tops, gradients. The memory of kernels, batches
that are read ahead and copies in other layouts come on top, so that a net that is not refused may
still run out of memory; a net that is refused cannot run on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from minicaffe import host_memory
from minicaffe.blob import Blob
from minicaffe.errors import OutOfMemory
from minicaffe.log import logger
from minicaffe.net.memory.sharing import SharedBlobs
from minicaffe.net.parameters import LearnableParameter
from minicaffe.net.step import Step
from minicaffe.ops.backend import Backend

_MIB = 1 << 20
# Smaller demands are not compared with the memory, which takes a millisecond to find out.
_SMALL_BYTES = 64 * _MIB
# A share of the memory above which what is not counted may well be too much.
_TIGHT = 0.75
_VALUE_BYTES = 4


@dataclass(frozen=True)
class MemoryDemand:
    """Bytes that a net, or a training, allocates.

    Attributes
    ----------
    activations : int
        Values and gradients of the net's blobs, and the workspace. Proportional to the batch size.
    planned : int
        Memory that the net's kernels allocated when they were planned, not part of `total`.
        Proportional to the batch size as well.
    rest : int
        Parameters, their gradients and history, and the blobs of test nets.
    batch : int
        Number of samples in a batch of the net.
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
        left, each = free + self.planned - self.rest, (self.activations + self.planned) / self.batch
        return max(0, int(left / each)) if each else 0


def fill_steps(steps: Sequence[Step], subject: str) -> None:
    """Write the initial values of all layers, if they fit into the main memory.

    Parameters
    ----------
    steps : sequence of Step
        The layers, set up and not filled.
    subject : str
        The beginning of the message, with a verb: "net.prototxt: net "n" needs".

    Raises
    ------
    OutOfMemory
    """

    def filled(step: Step) -> int:
        return _VALUE_BYTES * step.layer.fill_count(step.top)

    require_memory(MemoryDemand(0, 0, sum(map(filled, steps)), 1), subject, steps, filled)
    for step in steps:
        step.fill()


def require_memory(
    demand: MemoryDemand,
    subject: str,
    steps: Sequence[Step],
    step_bytes: Callable[[Step], int] | None = None,
    advice: str = "",
) -> None:
    """Raise an error if a demand is larger than the main memory that this process can have.

    Log a warning if it is most of it.

    Parameters
    ----------
    demand : MemoryDemand
    subject : str
        The beginning of the message, with a verb: "net.prototxt: net "n" needs".
    steps : sequence of Step
        The net; the message names the layer that needs most.
    step_bytes : callable, optional
        Returns what a layer needs; by default its parameters and tops are counted.
    advice : str
        What else to do, if a smaller batch would fit.

    Raises
    ------
    OutOfMemory
    """
    if demand.total < _SMALL_BYTES:
        return
    most = host_memory.most_bytes()
    if demand.total <= most:
        if demand.total > _TIGHT * most:
            logger.warning(
                f"{subject} at least {demand.total / _MIB:.0f} MiB of memory, and no more than "
                f"{most / _MIB:.0f} MiB can be had: batches that are read ahead and kernels come "
                "on top, so that the system may end the program. Use a smaller batch_size."
            )
        return
    needs = step_bytes or _step_bytes
    greatest = max(steps, key=needs)
    largest = demand.largest_batch(most)
    fix = (
        f"The largest batch_size that fits is about {largest}, instead of {demand.batch}{advice}."
        if largest
        else "Make the layers smaller, or use a machine with more memory."
    )
    raise OutOfMemory(
        f"{subject} at least {demand.total / _MIB:.0f} MiB of memory, and no more than "
        f"{most / _MIB:.0f} MiB can be had. {needs(greatest) / _MIB:.0f} MiB are for "
        f"{greatest.layer.where}. {fix}"
    )


def _step_bytes(step: Step) -> int:
    owned = {blob.data_owner: blob.count for blob in (*step.layer.blobs, *step.top)}
    return _VALUE_BYTES * sum(owned.values())


def demand_of_passes(
    steps: Sequence[Step],
    parameters: Sequence[LearnableParameter],
    backend: Backend,
    shared: SharedBlobs,
    backward: bool,
) -> MemoryDemand:
    """Return the main memory that passes need at least.

    Parameters
    ----------
    steps : sequence of Step
    parameters : sequence of LearnableParameter
    backend : Backend
    shared : SharedBlobs
        What shares memory.
    backward : bool
        Whether there are backward passes as well.
    """
    count = sum(p.blob.count for p in parameters)
    activations = value_count(steps, shared)
    if backward:
        count += sum(p.blob.count for p in parameters if p.needs_diff)
        activations += _gradient_count(steps, shared)
    first = next((blob.shape for step in steps for blob in step.top if blob.shape), (1,))
    return MemoryDemand(
        activations=activations * backend.activation_bytes,
        planned=0,
        rest=count * backend.dtype.itemsize,
        batch=max(first[0], 1),
    )


def value_count(steps: Sequence[Step], shared: SharedBlobs) -> int:
    """Return how many values tops have memory for; values that are the same count once."""
    given = {blob for step in steps if step.layer.is_filled_by_program for blob in step.top}
    owners = {blob.data_owner for step in steps for blob in step.top}
    return shared.size + sum(blob.count for blob in owners - given - shared.values)


def _gradient_count(steps: Sequence[Step], shared: SharedBlobs) -> int:
    """Return how many values of bottoms' gradients have memory of their own."""
    written: set[Blob] = set()
    for step in steps:
        # Layers whose tops are the bottom's values under another shape share the gradient as well.
        same = {blob.data_owner for blob in step.top if blob not in step.bottom}
        for blob, is_wanted in zip(step.bottom, step.propagate_down, strict=True):
            if step.needs_backward and is_wanted and blob.data_owner not in same:
                written.add(blob)
    return sum(blob.count for blob in written if blob.diff_owner not in shared.gradients)
