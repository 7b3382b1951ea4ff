"""Memory planning for inference: blobs that are not live at the same time share memory.

A blob is live from the layer that makes it to the last one that reads it, or reads a blob that
shares its values (copies of a Split, views of a Reshape). The values of a blob that is not live are
undefined; that is why this pass runs on request only (`Net.optimize_memory`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from minicaffe.blob import Blob
from minicaffe.net.step import Step


class LiveRange(NamedTuple):
    """The steps, by their index, during which a blob's values are needed; both included."""

    first: int
    last: int

    def overlaps(self, other: LiveRange) -> bool:
        """Return whether both are live at some step."""
        return self.first <= other.last and other.first <= self.last


def share_memory(steps: Sequence[Step], kept: Collection[Blob]) -> None:
    """Share memory between blobs that are not live at the same time.

    Parameters
    ----------
    steps : sequence of Step
        The net.
    kept : collection of Blob
        Blobs that are read after a pass.
    """
    ranges = find_live_ranges(steps, kept)
    for first, *others in assign_memory(ranges):
        for blob in others:
            blob.data.share_memory_with(first.data)


def find_live_ranges(steps: Sequence[Step], kept: Collection[Blob]) -> dict[Blob, LiveRange]:
    """Return the live range of each blob that may share memory; `kept` ones live to the end.

    Blobs that use another's values count as that blob. Left out are values that outlive a pass:
    parameters; tops of layers without bottoms, because these, or the user, may write them only
    once; and blobs of layers whose user code may keep their arrays.
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
        if step.layer.exposes_blobs:
            apart.update(seen)
        apart.update(blob.data_owner for blob in step.layer.blobs)
    for blob in kept:
        owner = blob.data_owner
        ranges[owner] = LiveRange(ranges[owner].first, len(steps))
    return {blob: live for blob, live in ranges.items() if blob not in apart}


def assign_memory(ranges: dict[Blob, LiveRange]) -> Iterable[list[Blob]]:
    """Return groups of blobs that can share memory; the first blob of each is the largest.

    Larger blobs are assigned first, each to the group in which it leaves the least memory unused:
    "greedy by size" of Pisarchyk and Lee, "Efficient memory management for deep neural net
    inference", 2020.
    """
    groups: list[list[Blob]] = []
    for blob in sorted(ranges, key=lambda blob: -blob.count):
        free = [g for g in groups if not any(ranges[blob].overlaps(ranges[b]) for b in g)]
        if free:
            min(free, key=lambda g: g[0].count).append(blob)
        else:
            groups.append([blob])
    return groups
