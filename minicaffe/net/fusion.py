"""Seventh pass: layers whose work another layer's kernel can do on the way.

A layer that works in place on the output of the layer before it, and only on that, may be left to
that layer's kernel, while training too: what was in between is overwritten anyway. This pass says
where that is legal; the backend says whether it can. Absorbed layers stay in the net with their
name, log lines and blobs, and run backward themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minicaffe.net.builder import Step


class Pair(NamedTuple):
    """Two steps, by their index in the net, that may run as one."""

    first: int
    second: int


def find_pairs(steps: Sequence[Step]) -> list[Pair]:
    """Return the pairs of a layer and the next one in place on its only output."""
    pairs = []
    for i, step in enumerate(steps):
        if len(step.top) != 1:
            continue
        blob = step.top[0]
        users = [j for j in range(i + 1, len(steps)) if blob in steps[j].bottom]
        if not users:
            continue
        follower = steps[users[0]]
        is_in_place = follower.top == [blob] and follower.bottom == [blob]
        if is_in_place and follower.layer.idempotent_op() is not None:
            pairs.append(Pair(i, users[0]))
    return pairs


class Fusion:
    """Lets the backend run pairs as one where both are run.

    A pass over a part of the net, or one that somebody watches layer by layer, must leave in each
    blob what Caffe leaves there: a pair that it does not run whole, and unwatched, is taken apart.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._pairs = find_pairs(steps)
        self._prepared: tuple[int, int, bool] | None = None

    def prepare(self, first: int, last: int, is_watched: bool) -> None:
        """Fuse the pairs that lie within the steps `first` to `last`, take apart the others."""
        wanted = (first, last, is_watched)
        if wanted == self._prepared:
            return
        self._prepared = wanted
        for i, j in self._pairs:
            absorbing, absorbed = self._steps[i], self._steps[j]
            fuses = not is_watched and first <= i and j <= last
            op = absorbed.layer.idempotent_op() if fuses else None
            absorbed.is_absorbed = absorbing.follow_with(op)
