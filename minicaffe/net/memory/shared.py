"""What the blobs of a net share, by request, and which passes that allows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from minicaffe.blob import Blob
from minicaffe.errors import NetError
from minicaffe.log import logger
from minicaffe.net.memory.deferral import keep_terms, share_copied_gradients
from minicaffe.net.memory.demand import MemoryDemand, demand_of_passes
from minicaffe.net.memory.lifetimes import (
    LiveRange,
    find_gradient_ranges,
    share_gradients_in_place,
)
from minicaffe.net.memory.recomputation import Recomputation, choose
from minicaffe.net.memory.sharing import SharedBlobs, Stored, share, share_for_testing
from minicaffe.net.parameters import LearnableParameter
from minicaffe.net.program import Programs
from minicaffe.net.step import Step
from minicaffe.ops.backend import Task

_MIB = 1 << 20


class SharedMemory:
    """Memory that blobs of a net share, values that are dropped, and when these are made again.

    At first nothing is shared.

    Parameters
    ----------
    steps : sequence of Step
        The net, with its backward plan.
    parameters : sequence of LearnableParameter
    kept : collection of Blob
        Blobs whose values are read after a pass: outputs and losses.
    programs : Programs
        Invalidated when sharing begins.
    subject : str
        The beginning of messages: ``net "n"``.

    Attributes
    ----------
    blobs : SharedBlobs
    is_forward_only : bool
        Whether values that backward passes read are overwritten.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        parameters: Sequence[LearnableParameter],
        kept: Collection[Blob],
        programs: Programs,
        subject: str,
    ) -> None:
        self._backend = steps[0].layer.context.backend
        self._steps, self._parameters, self._kept = steps, parameters, kept
        self._programs, self._subject = programs, subject
        self.blobs = SharedBlobs()
        self.is_forward_only = self._drops_values = False
        self._repeated: dict[int, list[int]] = {}
        # The last step that can run backward now, if values are dropped.
        self._next = -1

    def share_values(self, kept: Collection[Blob]) -> None:
        """Share memory between values that forward passes need at different times."""
        self._begin()
        self.blobs = share_for_testing(self._backend, self._steps, [*self._kept, *kept])
        self.is_forward_only = True
        for step in self._steps:
            if step.keeps_tops:
                step.keep_values((), ())

    def share_gradients(self) -> None:
        """Share memory between gradients that a backward pass needs at different times."""
        self._begin()
        ranges, sums = self._gradient_ranges()
        self.blobs = share(
            self._backend, {Stored(blob, True): [live] for blob, live in ranges.items()}, sums
        )

    def drop_values(self, kept: Collection[Blob]) -> None:
        """Share memory between values and gradients, and drop values that are made again."""
        self._begin()
        gradients, sums = self._gradient_ranges()
        plan = choose(self._steps, [*self._kept, *kept], gradients)
        ranges = {Stored(blob): lives for blob, lives in plan.ranges.items()}
        ranges |= {Stored(blob, True): [live] for blob, live in gradients.items()}
        self.blobs = share(self._backend, ranges, sums)
        self._repeated, self._drops_values = plan.repeated, True
        self._log(plan)

    def _gradient_ranges(self) -> tuple[dict[Blob, LiveRange], set[Blob]]:
        """Return when gradients are needed, and which are sums that may be computed later."""
        ranges = find_gradient_ranges(self._steps)
        share_gradients_in_place(self._steps, ranges)
        if not self._backend.defers_sums:
            return ranges, set()
        share_copied_gradients(self._steps, ranges)
        return ranges, keep_terms(self._steps, ranges)

    def _log(self, plan: Recomputation) -> None:
        unit = self._backend.activation_bytes / _MIB
        n = sum(map(len, plan.repeated.values()))
        logger.info(
            f"{self._subject}: values and gradients of the blobs take {self.blobs.size * unit:.1f} "
            f"MiB instead of {self.blobs.total * unit:.1f} MiB; {n} of {len(self._steps)} layers "
            "run forward again in each backward pass."
        )

    def _begin(self) -> None:
        if self.blobs.size:
            raise NetError(f"{self._subject}: its blobs share memory already")
        self._programs.invalidate()

    def demand(self, backward: bool) -> MemoryDemand:
        """Return the main memory that passes need at least."""
        return demand_of_passes(
            self._steps, self._parameters, self._backend, self.blobs, backward=backward
        )

    def begin_backward(self, start: int, end: int, layer_by_layer: bool) -> None:
        """Raise a NetError if values that the backward passes of these steps read are lost.

        Parameters
        ----------
        start, end : int
            The first step and the last, whose index is smaller.
        layer_by_layer : bool
            Whether blobs are read between layers, so that no layers are fused.
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
        is_whole = start == len(self._steps) - 1 and end == 0 and not layer_by_layer
        if self._drops_values and not is_whole and self._has_fused_backward():
            raise NetError(
                f"{self._subject}: layers ran forward fused, and this backward pass is one over a "
                "part of the net, or layer by layer. After optimize_memory there is no memory to "
                "compute them again one by one. Run the whole net backward."
            )
        self._next = end - 1

    def _has_fused_backward(self) -> bool:
        return any(step.fused and step.fuses_backward for step in self._steps)

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
