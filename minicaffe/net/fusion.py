"""Seventh pass: layers whose work another layer's kernel can do on the way.

Layers that work in place on the output of the layer before them, one after the other and before
anybody else reads it, may be left to that layer's kernel: what was in between is overwritten
anyway. This pass says where that is legal; the backend says how far it can. Absorbed layers stay in
the net with their name, log lines and blobs, and run backward themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minicaffe.net.builder import Step


class Chain(NamedTuple):
    """Steps, by their index in the net, that may run as one."""

    first: int
    followers: list[int]


def find_chains(steps: Sequence[Step]) -> list[Chain]:
    """Return each layer that has followers in place on its only output, with them.

    A follower has a chain of its own for those behind it, which counts where it is not absorbed.
    """
    chains = []
    for i, step in enumerate(steps):
        followers = _followers(steps, i) if len(step.top) == 1 else []
        if followers:
            chains.append(Chain(i, followers))
    return chains


def _followers(steps: Sequence[Step], i: int) -> list[int]:
    blob, found = steps[i].top[0], []
    for j in range(i + 1, len(steps)):
        step = steps[j]
        if blob not in step.bottom:
            continue
        if step.top != [blob] or step.bottom != [blob] or step.layer.follower() is None:
            break
        found.append(j)
    return found


class Fusion:
    """Lets the backend run chains as one where they are run as a whole.

    A pass over a part of the net, or one that somebody watches layer by layer, must leave in each
    blob what Caffe leaves there: a chain that it does not run whole, and unwatched, is taken apart.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._chains = find_chains(steps)
        self._prepared: tuple[int, int, bool] | None = None
        self._runs_backward = False

    def prepare(self, first: int, last: int, is_watched: bool) -> None:
        """Fuse the chains that lie within the steps `first` to `last`, take apart the others."""
        wanted = (first, last, is_watched)
        if wanted == self._prepared:
            return
        self._prepared = wanted
        for i, _ in self._chains:
            self._steps[i].absorb([])
        for i, followers in self._chains:
            if not is_watched and first <= i and not self._steps[i].is_absorbed:
                self._steps[i].absorb(self._absorbable(followers, last))

    def prepare_backward(self) -> None:
        """Give absorbed layers whose backward pass needs their forward pass that forward pass.

        Where a net is trained they are never absorbed. One that is tested may run backward all the
        same, and from the first time on keeps them apart.
        """
        if self._runs_backward:
            return
        self._runs_backward, self._prepared = True, None
        for i, followers in self._chains:
            steps = [self._steps[j] for j in followers if self._steps[j].is_absorbed]
            misses = any(step.needs_backward and _keeps_input(step) for step in steps)
            if misses and not self._steps[i].is_absorbed:
                self._steps[i].absorb([])
                for step in (self._steps[i], *steps):
                    step.forward()

    def _absorbable(self, followers: Sequence[int], last: int) -> list[Step]:
        steps = []
        for j in followers:
            step = self._steps[j]
            if j > last or (_keeps_input(step) and self._keeps_apart(step)):
                break
            steps.append(step)
        return steps

    def _keeps_apart(self, step: Step) -> bool:
        return step.needs_backward and (self._runs_backward or step.layer.is_training)


def _keeps_input(step: Step) -> bool:
    follower = step.layer.follower()
    return follower is not None and follower.keeps_input
