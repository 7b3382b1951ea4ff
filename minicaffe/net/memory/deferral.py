"""Gradients that are sums or copies of others, and may be computed when they are read.

The gradient of a blob with several readers is the sum of theirs, and that of a summand is a copy of
the sum's. A backend that computes them when they are read (`Backend.defers_sums`) writes less, if
the terms keep their values until then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from minicaffe.blob import Blob
from minicaffe.net.memory.lifetimes import (
    LiveRange,
    backward_time,
    diff_owners,
    written_gradients,
)
from minicaffe.net.step import Step

Ranges = dict[Blob, LiveRange]


def share_copied_gradients(steps: Sequence[Step], ranges: Ranges) -> None:
    """Give a top and one of its bottoms one gradient where these are equal, as for a sum.

    Of several bottoms it is the one whose gradient is needed longest.

    Parameters
    ----------
    steps : sequence of Step
    ranges : dict of Blob to LiveRange
        From `find_gradient_ranges`; it loses the gradients that become another blob's.
    """
    for step in steps:
        if not (step.layer.copies_top_diff and step.needs_backward):
            continue
        (top,) = step.top
        wanted = zip(step.bottom, step.propagate_down, strict=True)
        equal = [blob for blob, is_wanted in wanted if is_wanted and blob in ranges]
        if top not in ranges or not equal or top in step.bottom:
            continue
        longest = max(equal, key=lambda blob: ranges[blob].last)
        ranges[longest] = LiveRange(ranges.pop(top).first, ranges[longest].last)
        top.share_diff(longest)


def keep_terms(steps: Sequence[Step], ranges: Ranges) -> set[Blob]:
    """Let gradients live until the sums and copies of them are overwritten; return the latter.

    Parameters
    ----------
    steps : sequence of Step
    ranges : dict of Blob to LiveRange
        The ranges of terms become longer.
    """
    owner = diff_owners(steps)
    found: set[Blob] = set()
    for i, step in enumerate(steps):
        if not (step.needs_backward and (step.layer.copies_bottom or step.layer.copies_top_diff)):
            continue
        terms = {owner(blob) for blob in step.top}
        for blob in written_gradients(step):
            end = _end_of_sum(steps, i, blob, owner) if owner(blob) in ranges else None
            if owner(blob) in terms or end is None or _changes(steps, i, end, terms, owner):
                continue
            found.add(owner(blob))
            for term in terms & ranges.keys():
                first, last = ranges[term]
                ranges[term] = LiveRange(first, max(last, backward_time(steps, end)))
    return found


def _end_of_sum(
    steps: Sequence[Step], maker: int, blob: Blob, owner: Callable[[Blob], Blob]
) -> int | None:
    """Return the step up to which a gradient is a sum that is read; None if it is read otherwise.

    The first step in place overwrites it, unless that is fused into one before it.
    """
    end = None
    for i, step in _backward_from(steps, maker):
        if owner(blob) not in map(owner, step.top):
            continue
        is_in_place = owner(blob) in map(owner, written_gradients(step))
        overwrites = is_in_place and step.layer.overwrites_top_diff
        if step.fuses_backward or (end is None and overwrites):
            end = i
        if not overwrites:
            break
    return end


def _changes(
    steps: Sequence[Step], maker: int, end: int, terms: set[Blob], owner: Callable[[Blob], Blob]
) -> bool:
    """Return whether a term is overwritten between two steps of the backward pass."""
    return any(
        not terms.isdisjoint(map(owner, written_gradients(step)))
        for i, step in _backward_from(steps, maker)
        if i >= end
    )


def _backward_from(steps: Sequence[Step], after: int) -> Iterator[tuple[int, Step]]:
    """Yield the steps that run backward after a step, with their indexes."""
    for i in range(after - 1, -1, -1):
        if steps[i].needs_backward:
            yield i, steps[i]
