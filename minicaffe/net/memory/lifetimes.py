"""When the values and gradients of blobs are needed in a forward and a backward pass.

Times are indexes of a list of all passes of layers: of n steps, step i runs forward at time i, and
backward at time 2 n - 1 - i.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from minicaffe.blob import Blob
from minicaffe.net.step import Step


class LiveRange(NamedTuple):
    """The times during which values are needed; both included."""

    first: int
    last: int

    def overlaps(self, other: LiveRange) -> bool:
        """Return whether both are live at some time."""
        return self.first <= other.last and other.first <= self.last


@dataclass
class ValueUses:
    """The steps, by their index, that use the values of a blob.

    Attributes
    ----------
    writers : list of int
        Those that compute the values: the maker, then layers in place.
    readers : list of int
        Those that read the values in their forward pass.
    backward_readers : list of int
        Those that may read the values in their backward pass.
    """

    writers: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)
    backward_readers: list[int] = field(default_factory=list)


def backward_time(steps: Sequence[Step], index: int) -> int:
    """Return the time at which a step runs backward."""
    return 2 * len(steps) - 1 - index


def unshared_blobs(steps: Sequence[Step]) -> set[Blob]:
    """Return the owners of values that outlive a pass, or that the user's code may hold.

    Parameters; tops of layers without bottoms, because these, or the user, may write them only
    once; blobs of layers whose user code may keep their arrays.
    """
    found: set[Blob] = set()
    for step in steps:
        blobs = list(step.layer.blobs)
        if not step.bottom:
            blobs += step.top
        if step.layer.exposes_blobs:
            blobs += [*step.bottom, *step.top]
        found.update(blob.data_owner for blob in blobs)
    return found


def find_value_uses(steps: Sequence[Step]) -> dict[Blob, ValueUses]:
    """Return the uses of the values of each blob; blobs that use another's count as that blob."""
    uses: dict[Blob, ValueUses] = {}
    for i, step in enumerate(steps):
        for blob in step.bottom:
            uses.setdefault(blob.data_owner, ValueUses()).readers.append(i)
        for blob in step.top:
            of_blob = uses.setdefault(blob.data_owner, ValueUses())
            if blob in step.bottom or not _is_view(blob, step):
                of_blob.writers.append(i)
        for blob in _read_backward(step):
            uses[blob.data_owner].backward_readers.append(i)
    for of_blob in uses.values():
        # The kernel of a layer may compute the backward passes of those after it, in place.
        fusing = [i for i in of_blob.writers if steps[i].fuses_backward]
        of_blob.backward_readers += fusing if of_blob.backward_readers else []
    return uses


def _is_view(top: Blob, step: Step) -> bool:
    """Return whether a top has a bottom's values, as those of Split and Reshape."""
    return any(top.data_owner is blob.data_owner for blob in step.bottom)


def _read_backward(step: Step) -> Iterator[Blob]:
    """Yield the blobs whose values the backward pass of a step may read."""
    if not step.needs_backward:
        return
    if step.layer.reads_bottoms:
        # The kernel of an in-place layer saves what it reads.
        yield from (blob for blob in step.bottom if blob not in step.top)
    if step.layer.reads_tops != "nothing":
        yield from step.top


def find_gradient_ranges(steps: Sequence[Step]) -> dict[Blob, LiveRange]:
    """Return when the gradient of each blob is needed, by the blob that owns the gradient.

    Left out are gradients that must keep their values: of parameters and losses;
    those that a layer reads and none has written before; and those that the user's code may hold.
    """
    ranges: dict[Blob, LiveRange] = {}
    apart: set[Blob] = set()
    owner = diff_owners(steps)
    for i in reversed(range(len(steps))):
        step, time = steps[i], backward_time(steps, i)
        written = map(owner, written_gradients(step))
        read = [owner(blob) for blob in step.top] if step.needs_backward else []
        apart.update(one for one in read if one not in ranges)
        for one in (*written, *read):
            first = ranges[one].first if one in ranges else time
            ranges[one] = LiveRange(first, time)
        if step.layer.exposes_blobs:
            apart.update(owner(blob) for blob in (*step.bottom, *step.top))
        apart.update(owner(blob) for blob in step.layer.blobs)
        for blob, weight in zip(step.top, step.loss_weights, strict=True):
            if weight:
                apart.add(owner(blob))
    return {blob: live for blob, live in ranges.items() if blob not in apart}


def written_gradients(step: Step) -> list[Blob]:
    """Return the bottoms whose gradients a step writes."""
    wanted = zip(step.bottom, step.propagate_down, strict=True)
    return [blob for blob, is_wanted in wanted if step.needs_backward and is_wanted]


def diff_owners(steps: Sequence[Step]) -> Callable[[Blob], Blob]:
    """Return a function that returns the owner of a blob's gradient in a backward pass.

    A layer whose top is a view of its bottom may share the gradient in its backward pass only.
    """
    later: dict[Blob, Blob] = {}
    for step in steps:
        for top in step.top if not step.layer.copies_bottom else ():
            for bottom in step.bottom:
                if bottom is not top and bottom.data_owner is top.data_owner:
                    given, taken = bottom.diff_owner, top.diff_owner
                    if given is not taken:
                        later[given] = taken

    def owner(blob: Blob) -> Blob:
        found = blob.diff_owner
        while found in later:
            found = later[found]
        return found

    return owner


def share_gradients_in_place(steps: Sequence[Step], ranges: dict[Blob, LiveRange]) -> None:
    """Let layers write the bottom's gradient over the top's where they can.

    Parameters
    ----------
    steps : sequence of Step
    ranges : dict of Blob to LiveRange
        From `find_gradient_ranges`; it loses the gradients that become another blob's.
    """
    blobs = {blob for step in steps for blob in (*step.bottom, *step.top)}
    n_users = Counter(blob.diff_owner for blob in blobs)
    for step in steps:
        if not (step.layer.overwrites_top_diff and len(step.bottom) == len(step.top) == 1):
            continue
        (bottom,), (top,) = step.bottom, step.top
        if bottom is top or bottom.shape != top.shape or n_users[top] != 1:
            continue
        if top in ranges and bottom in ranges:
            ranges[bottom] = LiveRange(ranges.pop(top).first, ranges[bottom].last)
            top.share_diff(bottom)
