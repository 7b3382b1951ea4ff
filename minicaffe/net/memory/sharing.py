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
from minicaffe.ops.backend import Backend, Placement, Tensor


class Sized(Protocol):
    """What has a number of values."""

    @property
    def count(self) -> int:
        """Number of values."""


# Values in a cache line, where parts of a memory begin.
_LINE = 16

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


def share_for_testing(
    backend: Backend, steps: Sequence[Step], kept: Collection[Blob]
) -> SharedBlobs:
    """Share memory between blobs of a net that only runs forward; return what is shared.

    Parameters
    ----------
    backend : Backend
        Of the net.
    steps : sequence of Step
        The net.
    kept : collection of Blob
        Blobs that are read after a pass.
    """
    ranges = find_live_ranges(steps, kept)
    return share(backend, {Stored(blob): [live] for blob, live in ranges.items()})


@dataclass(frozen=True)
class SharedBlobs:
    """What shares memory.

    Attributes
    ----------
    values, gradients : frozenset of Blob
        The owners of the values and gradients that share it.
    size : int
        The number of values that the memory holds.
    """

    values: frozenset[Blob] = frozenset()
    gradients: frozenset[Blob] = frozenset()
    size: int = 0

    @property
    def total(self) -> int:
        """The number of values without sharing."""
        return sum(blob.count for blob in (*self.values, *self.gradients))


def share(
    backend: Backend,
    ranges: Mapping[Stored, Sequence[LiveRange]],
    sums: Collection[Blob] = (),
) -> SharedBlobs:
    """Share memory between tensors that are not live at the same time; return what is shared.

    Parameters
    ----------
    backend : Backend
    ranges : mapping of Stored to sequence of LiveRange
    sums : collection of Blob
        The owners of gradients that are sums whose terms live until the sum is overwritten.
    """
    starts = find_places(ranges)
    groups = find_groups(ranges)

    def place(one: Stored) -> Placement:
        return Placement(_tensor(one), starts[one], one.is_gradient and one.blob in sums)

    backend.share_memory([[place(one) for one in group] for group in groups])
    return SharedBlobs(
        frozenset(one.blob for one in ranges if not one.is_gradient),
        frozenset(one.blob for one in ranges if one.is_gradient),
        max((start + one.count for one, start in starts.items()), default=0),
    )


def _tensor(one: Stored) -> Tensor:
    return one.blob.diff if one.is_gradient else one.blob.data


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


def find_places(ranges: Mapping[S, Sequence[LiveRange]]) -> dict[S, int]:
    """Return where each of the given lies in one memory, in values from its beginning.

    Larger ones are placed first, each in the smallest gap that is free while it lives: "greedy by
    size for offset calculation" of Pisarchyk and Lee, "Efficient memory management for deep neural
    net inference", 2020.
    """
    starts: dict[S, int] = {}
    for one in _largest_first(ranges):
        taken = sorted(
            (start, start + _aligned(other.count))
            for other, start in starts.items()
            if _overlap(ranges[one], ranges[other])
        )
        starts[one] = _smallest_gap(taken, one.count)
    return starts


def _smallest_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """Return the start of the smallest sufficient gap between parts, or the end of all of them."""
    best, room, end = -1, 0, 0
    for start, stop in taken:
        gap = start - end
        if gap >= size and (best < 0 or gap < room):
            best, room = end, gap
        end = max(end, stop)
    return end if best < 0 else best


def find_groups(ranges: Mapping[S, Sequence[LiveRange]]) -> list[list[S]]:
    """Return groups of what is not live at the same time; the first of each is the largest.

    Larger ones are assigned first, each to the group in which it leaves the least memory unused:
    "greedy by size" of the same article.
    """
    groups: list[list[S]] = []
    for one in _largest_first(ranges):
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


def _largest_first(ranges: Mapping[S, Sequence[LiveRange]]) -> list[S]:
    return sorted(ranges, key=lambda one: -one.count)


def _aligned(count: int) -> int:
    """Return a number of values that ends at a boundary of a cache line."""
    return -(-count // _LINE) * _LINE


def _overlap(some: Sequence[LiveRange], others: Sequence[LiveRange]) -> bool:
    return any(one.overlaps(other) for one in some for other in others)
