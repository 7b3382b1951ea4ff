"""Memory for blobs that are needed at different times, in a net that only runs forward.

A blob is alive from the layer that makes it to the last one that reads it or what shares its values
(copies of a Split, views of a Reshape). Blobs that are never alive at once take the same memory.
Nobody may look at a blob when it is dead: that is why this pass is only run on request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from minicaffe.blob import Blob
from minicaffe.net.step import Step


class LiveRange(NamedTuple):
    """The steps, by their index, that a blob's values must outlast; both ends count."""

    first: int
    last: int

    def overlaps(self, other: LiveRange) -> bool:
        """Return whether both are alive at some step."""
        return self.first <= other.last and other.first <= self.last


def share_memory(steps: Sequence[Step], kept: Collection[Blob]) -> None:
    """Have blobs that are never alive at once use the same memory.

    Parameters
    ----------
    steps : sequence of Step
        The net.
    kept : collection of Blob
        Blobs that are read after a pass.
    """
    ranges = find_live_ranges(steps, kept)
    for first, *others in place(ranges):
        for blob in others:
            blob.data.share_memory_with(first.data)


def find_live_ranges(steps: Sequence[Step], kept: Collection[Blob]) -> dict[Blob, LiveRange]:
    """Return when each blob that may share memory is alive; `kept` ones are to the end.

    Blobs that use another's values are counted as that blob. Left out is what outlives a pass:
    parameters, and what layers without bottoms make, as they, or the user, may write it but once;
    and what Python layers see, as they may hold on to the arrays.
    """
    ranges: dict[Blob, LiveRange] = {}
    apart: set[Blob] = set()
    for i, step in enumerate(steps):
        made = [blob.data_owner for blob in step.top]
        seen = made + [blob.data_owner for blob in step.bottom]
        for blob in seen:
            ranges[blob] = LiveRange(ranges[blob].first if blob in ranges else i, i)
        if not step.bottom:
            apart.update(made)
        if step.layer.type == "Python":
            apart.update(seen)
        apart.update(blob.data_owner for blob in step.layer.blobs)
    for blob in kept:
        owner = blob.data_owner
        ranges[owner] = LiveRange(ranges[owner].first, len(steps))
    return {blob: alive for blob, alive in ranges.items() if blob not in apart}


def place(ranges: dict[Blob, LiveRange]) -> Iterable[list[Blob]]:
    """Return lists of blobs that can use one memory; the first of each is the largest.

    Larger blobs are placed first, each where the least memory is left over: "greedy by size" of
    Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020.
    """
    places: list[list[Blob]] = []
    for blob in sorted(ranges, key=lambda blob: -blob.count):
        free = [p for p in places if not any(ranges[blob].overlaps(ranges[b]) for b in p)]
        if free:
            min(free, key=lambda p: p[0].count).append(blob)
        else:
            places.append([blob])
    return places
