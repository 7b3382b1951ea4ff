"""Recomputation: values that are dropped after the forward pass and computed again in backward.

A value that a backward pass reads lives from its layer's forward pass to that backward pass, past
all layers after it. A dropped value lives twice, for a short time each: until its last reader runs
forward, and from its recomputation, just before the first backward pass that reads it. The plan
says which layers run forward again before which backward pass. It is plain data; `choose` finds the
values to drop.

The idea is that of Chen et al., "Training deep nets with sublinear memory cost", 2016; which values
to drop is decided here by the largest sum of what is live at one time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from minicaffe.blob import Blob
from minicaffe.net.memory.lifetimes import (
    LiveRange,
    ValueUses,
    backward_time,
    find_value_uses,
    unshared_blobs,
)
from minicaffe.net.step import Step

# The greatest share of the forward pass's multiply-adds that may be computed again. A forward pass
# is a third of an iteration.
_MOST_REPEATED = 0.5
# The share of the memory that dropping a value must save.
_LEAST_GAIN = 1e-4
# The sum of what is live is judged by this norm over all times: nearly the maximum, but a value
# that is dropped at one of several equal maxima counts as well.
_NORM = 16


@dataclass(frozen=True)
class RepeatedSteps:
    """How values are computed again.

    Attributes
    ----------
    steps : tuple of int
        The steps to run forward, in order.
    sources : tuple of Blob
        The owners of the values that they read.
    multiply_adds : int
    """

    steps: tuple[int, ...]
    sources: tuple[Blob, ...]
    multiply_adds: int


@dataclass
class Recomputation:
    """Which layers run forward again, and how long values are needed then.

    Attributes
    ----------
    repeated : dict of int to list of int
        By step, the steps that run forward again, in order, before it runs backward.
    ranges : dict of Blob to list of LiveRange
        By owner of values that may share memory.
    multiply_adds : int
        Those of the repeated layers.
    """

    repeated: dict[int, list[int]] = field(default_factory=dict)
    ranges: dict[Blob, list[LiveRange]] = field(default_factory=dict)
    multiply_adds: int = 0


def choose(
    steps: Sequence[Step], kept: Collection[Blob], gradients: Mapping[Blob, LiveRange]
) -> Recomputation:
    """Choose what to drop, by the largest amount of memory that is live at one time.

    Parameters
    ----------
    steps : sequence of Step
        The net, with its backward plan.
    kept : collection of Blob
        Blobs whose values are read after the passes.
    gradients : dict of Blob to LiveRange
        What lives besides the values.
    """
    planner = _Planner(steps, kept)
    fixed = _live_counts({blob: [live] for blob, live in gradients.items()}, 2 * len(steps))
    total = sum(step.layer.multiply_adds(step.bottom, step.top) for step in steps)

    def judge(plan: Recomputation) -> float:
        live = fixed + _live_counts(plan.ranges, 2 * len(steps))
        return float(np.linalg.norm(live / max(live.max(), 1), _NORM) * live.max())

    dropped: set[Blob] = set()
    best = planner.plan(dropped)
    least = judge(best)
    # First those that are cheap, the largest first.
    candidates = sorted(
        planner.repeatable, key=lambda b: (planner.repeatable[b].multiply_adds, -b.count)
    )
    for blob in (*candidates, *candidates):
        changed = dropped ^ {blob}
        plan = planner.plan(changed)
        if plan.multiply_adds > _MOST_REPEATED * total:
            continue
        value, cost = judge(plan), (plan.multiply_adds - best.multiply_adds) / max(total, 1)
        if 1 - value / least > max(_LEAST_GAIN, cost):
            dropped, best, least = changed, plan, value
    return best


def _live_counts(
    ranges: Mapping[Blob, Iterable[LiveRange]], n_times: int
) -> npt.NDArray[np.float64]:
    """Return the number of values that are live at each time."""
    changes = np.zeros(n_times + 1)
    for blob, lives in ranges.items():
        for first, last in lives:
            changes[first] += blob.count
            changes[last + 1] -= blob.count
    live: npt.NDArray[np.float64] = changes.cumsum()[:-1]
    return live


class _Planner:
    """Makes plans for a net.

    Attributes
    ----------
    repeatable : dict of Blob to RepeatedSteps
        Of the values that may be dropped.
    """

    def __init__(self, steps: Sequence[Step], kept: Collection[Blob]) -> None:
        self._steps = steps
        self._kept = {blob.data_owner for blob in kept}
        apart = unshared_blobs(steps)
        every = find_value_uses(steps)
        self._uses = {b: uses for b, uses in every.items() if b not in apart and uses.writers}
        self.repeatable = {
            blob: repetition
            for blob, uses in self._uses.items()
            if uses.backward_readers and blob not in self._kept
            if (repetition := _repeated_steps(blob, steps, every)) is not None
        }
        self._read_backward: list[list[Blob]] = [[] for _ in steps]
        for blob, uses in self._uses.items():
            for i in uses.backward_readers:
                self._read_backward[i].append(blob)

    def plan(self, dropped: Collection[Blob]) -> Recomputation:
        """Return the plan that drops these values."""
        n = len(self._steps)
        plan = Recomputation()
        begun: dict[Blob, int] = {}  # time of the recomputation
        last: dict[Blob, int] = {}

        def make(blob: Blob, time: int, i: int) -> None:
            last[blob] = time
            if blob not in dropped or blob in begun:
                return
            begun[blob] = time
            repetition = self.repeatable[blob]
            for source in repetition.sources:
                make(source, time, i)
            plan.repeated.setdefault(i, []).extend(repetition.steps)
            plan.multiply_adds += repetition.multiply_adds

        for i in reversed(range(n)):
            for blob in self._read_backward[i]:
                make(blob, backward_time(self._steps, i), i)
        for blob, uses in self._uses.items():
            forward = LiveRange(uses.writers[0], max([*uses.writers, *uses.readers]))
            if blob in self._kept:
                plan.ranges[blob] = [LiveRange(forward.first, 2 * n - 1)]
            elif blob in begun:
                plan.ranges[blob] = [forward, LiveRange(begun[blob], last[blob])]
            else:
                end = max(forward.last, last.get(blob, 0))
                plan.ranges[blob] = [LiveRange(forward.first, end)]
        return plan


def _repeated_steps(
    blob: Blob, steps: Sequence[Step], uses: Mapping[Blob, ValueUses]
) -> RepeatedSteps | None:
    """Return how the last values of a blob are computed again, None if they cannot be."""
    writers = uses[blob].writers
    # A layer that saves what it read computes its top without the layers before it.
    first = next((k for k in reversed(range(len(writers))) if _begins_anew(steps[writers[k]])), 0)
    sources: dict[Blob, None] = {}
    for i in writers[first:]:
        step = steps[i]
        if len(step.top) != 1 or step.keeps_values or not step.layer.can_recompute:
            return None
        for source in (bottom.data_owner for bottom in step.bottom):
            if source is blob:
                continue
            if any(writer > i for writer in uses[source].writers):
                return None  # the values that the layer has read are overwritten
            sources[source] = None
    cost = sum(steps[i].layer.multiply_adds(steps[i].bottom, steps[i].top) for i in writers[first:])
    return RepeatedSteps(tuple(writers[first:]), tuple(sources), cost)


def _begins_anew(step: Step) -> bool:
    return step.needs_backward and step.layer.saves_bottom and step.top[0] in step.bottom
