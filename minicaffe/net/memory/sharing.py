"""Memory that tensors share which are not live at the same time.

The values of a tensor that is not live are undefined; that is why sharing is done on request only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from minicaffe.blob import Blob
from minicaffe.net.memory.lifetimes import LiveRange, unshared_blobs
from minicaffe.net.step import Step
from minicaffe.ops.backend import Tensor


class Sized(Protocol):
    """What has a number of values."""

    @property
    def count(self) -> int:
        """Number of values."""


S = TypeVar("S", bound=Sized)


@dataclass(frozen=True)
class Stored:
    """The values of a blob, or its gradient."""

    blob: Blob
    is_gradient: bool = False

    @property
    def count(self) -> int:
        """Number of values."""
        return self.blob.count

    @property
    def tensor(self) -> Tensor:
        """The tensor."""
        return self.blob.diff if self.is_gradient else self.blob.data


def share_for_testing(steps: Sequence[Step], kept: Collection[Blob]) -> None:
    """Share memory between blobs of a net that only runs forward.

    Parameters
    ----------
    steps : sequence of Step
        The net.
    kept : collection of Blob
        Blobs that are read after a pass.
    """
    ranges = find_live_ranges(steps, kept)
    share({Stored(blob): [live] for blob, live in ranges.items()})


def share(ranges: Mapping[Stored, Sequence[LiveRange]]) -> int:
    """Share memory between tensors that are not live at the same time; return what it saves.

    Returns
    -------
    int
        The number of values that need no memory of their own.
    """
    saved = 0
    for first, *others in assign_memory(ranges):
        for stored in others:
            stored.tensor.share_memory_with(first.tensor)
            saved += stored.count
    return saved


def find_live_ranges(steps: Sequence[Step], kept: Collection[Blob]) -> dict[Blob, LiveRange]:
    """Return the live range of each blob that may share memory; `kept` ones live to the end.

    A blob is live from the layer that makes it to the last one that reads it, or reads a blob that
    shares its values (copies of a Split, views of a Reshape). Blobs that use another's values count
    as that blob.
    """
    ranges: dict[Blob, LiveRange] = {}
    for i, step in enumerate(steps):
        for blob in (*step.top, *step.bottom):
            owner = blob.data_owner
            ranges[owner] = LiveRange(ranges[owner].first if owner in ranges else i, i)
    for blob in kept:
        owner = blob.data_owner
        ranges[owner] = LiveRange(ranges[owner].first, len(steps))
    apart = unshared_blobs(steps)
    return {blob: live for blob, live in ranges.items() if blob not in apart}


def assign_memory(ranges: Mapping[S, Sequence[LiveRange]]) -> list[list[S]]:
    """Return groups of what can share memory; the first of each is the largest.

    Larger ones are assigned first, each to the group in which it leaves the least memory unused:
    "greedy by size" of Pisarchyk and Lee, "Efficient memory management for deep neural net
    inference", 2020.
    """
    groups: list[list[S]] = []
    for one in sorted(ranges, key=lambda one: -one.count):
        free = [
            group
            for group in groups
            if not any(_overlap(ranges[one], ranges[other]) for other in group)
        ]
        if free:
            min(free, key=lambda group: group[0].count).append(one)
        else:
            groups.append([one])
    return groups


def _overlap(some: Sequence[LiveRange], others: Sequence[LiveRange]) -> bool:
    return any(one.overlaps(other) for one in some for other in others)
