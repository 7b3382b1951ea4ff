"""Seventh pass: layers whose work another layer's kernel can do on the way.

Layers that work in place on the output of the layer before them, one after the other and before
anybody else reads it, may be left to that layer's kernel: what was in between is overwritten
anyway. This pass says where that is legal; the backend says how far it can. Absorbed layers stay in
the net with their name, log lines and blobs. They run backward themselves, unless the layer that
fused them does that too (`Layer.fuses_backward`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minicaffe.net.step import Step


class Chain(NamedTuple):
    """Steps, by their index in the net, that may run as one."""

    first: int
    epilogue: list[int]


def find_chains(steps: Sequence[Step]) -> list[Chain]:
    """Return each layer that has epilogue in place on its only output, with them.

    A epilogue_op has a chain of its own for those behind it, which counts where it is not fused.
    """
    chains = []
    for i, step in enumerate(steps):
        epilogue = _epilogue(steps, i) if len(step.top) == 1 else []
        if epilogue:
            chains.append(Chain(i, epilogue))
    return chains


def _epilogue(steps: Sequence[Step], i: int) -> list[int]:
    blob, found = steps[i].top[0], []
    for j in range(i + 1, len(steps)):
        step = steps[j]
        if blob not in step.bottom:
            continue
        if step.top != [blob] or step.bottom != [blob] or step.layer.epilogue_op() is None:
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

    def prepare(self, first: int, last: int, is_watched: bool, goes_back: bool = False) -> bool:
        """Fuse the chains that lie within the steps `first` to `last`, take apart the others.

        With `goes_back` so that the same steps can run backward with nothing in between. Returns
        whether a chain may have changed.
        """
        if goes_back and not self._runs_backward:
            self._runs_backward, self._prepared = True, None
        wanted = (first, last, is_watched)
        if wanted == self._prepared:
            return False
        self._prepared = wanted
        for i, _ in self._chains:
            self._steps[i].fuse([])
        for i, epilogue in self._chains:
            head = self._steps[i]
            if not is_watched and first <= i and not head.is_fused:
                head.fuse(self._absorbable(head, epilogue, last))
        return bool(self._chains)

    def prepare_backward(self, first: int, last: int, is_watched: bool) -> bool:
        """Take apart what cannot run backward as it ran forward, and run it forward again.

        Those are chains that do their backward pass as one where the steps `first` down to `last`
        do not hold all of it, or somebody watches; and, in a net that is tested, layers that need
        their forward pass. Such a net keeps the latter apart from then on. Returns whether a chain
        has changed.
        """
        self._runs_backward, changed = True, False
        for i, epilogue in self._chains:
            head = self._steps[i]
            n = len(head.fused)
            if not any(step.needs_backward and _keeps_input(step) for step in head.fused):
                continue
            is_whole = last <= i and epilogue[n - 1] <= first and not is_watched
            if not (head.layer.fuses_backward and is_whole):
                head.recompute_forward()
                self._prepared, changed = None, True
        return changed

    def _absorbable(self, head: Step, epilogue: Sequence[int], last: int) -> list[Step]:
        steps: list[Step] = []
        goes_back = head.layer.fuses_backward and head.needs_backward and all(head.propagate_down)
        for j in epilogue:
            step = self._steps[j]
            if j > last or (_keeps_input(step) and self._keeps_apart(step) and not goes_back):
                break
            steps.append(step)
        return steps

    def _keeps_apart(self, step: Step) -> bool:
        return step.needs_backward and (self._runs_backward or step.layer.is_training)


def _keeps_input(step: Step) -> bool:
    epilogue_op = step.layer.epilogue_op()
    return epilogue_op is not None and epilogue_op.keeps_input
