"""What the blobs of a net share, by request, and which passes that allows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from minicaffe.blob import Blob
from minicaffe.errors import NetError
from minicaffe.log import logger
from minicaffe.net.memory.lifetimes import (
    LiveRange,
    find_gradient_ranges,
    share_gradients_in_place,
)
from minicaffe.net.memory.recomputation import Recomputation, choose
from minicaffe.net.memory.sharing import Stored, share, share_for_testing
from minicaffe.net.step import Step
from minicaffe.ops.backend import Backend, Task

_MIB = 1 << 20


class SharedMemory:
    """Memory that blobs of a net share, values that are dropped, and when these are made again.

    At first nothing is shared.

    Parameters
    ----------
    backend : Backend
        Of the net.
    steps : sequence of Step
        The net, with its backward plan.
    kept : collection of Blob
        Blobs whose values are read after a pass: outputs and losses.
    subject : str
        The beginning of messages: ``net "n"``.

    Attributes
    ----------
    is_forward_only : bool
        Whether values that backward passes read are overwritten.
    """

    def __init__(
        self, backend: Backend, steps: Sequence[Step], kept: Collection[Blob], subject: str
    ) -> None:
        self._backend = backend
        self._steps, self._kept, self._subject = steps, kept, subject
        self.is_forward_only = False
        self._drops_values = False
        self._repeated: dict[int, list[int]] = {}
        # The last step that can run backward now, if values are dropped.
        self._next = -1

    @property
    def shares_values(self) -> bool:
        """Whether values share memory."""
        return self.is_forward_only or self._drops_values

    def share_values(self, kept: Collection[Blob]) -> None:
        """Share memory between values that forward passes need at different times."""
        share_for_testing(self._backend, self._steps, [*self._kept, *kept])
        self.is_forward_only = True
        for step in self._steps:
            if step.keeps_tops:
                step.keep_values((), ())

    def share_gradients(self) -> None:
        """Share memory between gradients that a backward pass needs at different times."""
        ranges = self._gradient_ranges()
        share(self._backend, {Stored(blob, True): [live] for blob, live in ranges.items()})

    def drop_values(self, kept: Collection[Blob]) -> None:
        """Share memory between values and gradients, and drop values that are made again."""
        gradients = self._gradient_ranges()
        plan = choose(self._steps, [*self._kept, *kept], gradients)
        ranges = {Stored(blob): lives for blob, lives in plan.ranges.items()}
        ranges |= {Stored(blob, True): [live] for blob, live in gradients.items()}
        total = sum(stored.count for stored in ranges)
        size = share(self._backend, ranges)
        self._repeated, self._drops_values = plan.repeated, True
        self._log(plan, total, size)

    def _gradient_ranges(self) -> dict[Blob, LiveRange]:
        ranges = find_gradient_ranges(self._steps)
        share_gradients_in_place(self._steps, ranges)
        return ranges

    def _log(self, plan: Recomputation, total: int, size: int) -> None:
        bytes_each = self._backend.activation_bytes
        n = sum(map(len, plan.repeated.values()))
        logger.info(
            f"{self._subject}: values and gradients of the blobs share "
            f"{size * bytes_each / _MIB:.0f} MiB instead of "
            f"{total * bytes_each / _MIB:.0f} MiB; {n} of {len(self._steps)} layers run forward "
            "again during the backward pass."
        )

    def begin_backward(self, start: int, end: int) -> None:
        """Raise a NetError if values that the backward passes of these steps read are lost.

        Parameters
        ----------
        start, end : int
            The first step and the last, whose index is smaller.
        """
        if self.is_forward_only:
            raise NetError(
                f"{self._subject}: optimize_memory has overwritten blobs that a backward pass "
                "reads. Do not call optimize_memory on a net that computes gradients."
            )
        if self._drops_values and start > self._next:
            raise NetError(
                f"{self._subject}: the last backward pass has overwritten blobs that this one "
                "reads, because optimize_memory lets them share memory. Run forward first."
            )
        self._next = end - 1

    def end_forward(self, last: int) -> None:
        """Note that the steps up to `last` have run forward."""
        self._next = last

    def backward_task(self, index: int) -> Task:
        """Return the backward pass of a step as a task, with what must be computed before."""
        step = self._steps[index]
        repeated = self._repeated.get(index)
        if not repeated:
            return step.backward
        return partial(
            _run_all, [*(self._steps[i].repeat_forward for i in repeated), step.backward]
        )


def _run_all(tasks: Sequence[Task]) -> None:
    for task in tasks:
        task()
