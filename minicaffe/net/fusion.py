"""Eighth pass: find chains of layers that one kernel may compute, and fuse them.

Layers that work in place on the output of the layer before them, one after the other and before any
other layer reads it, may become the epilogue of that layer's kernel: the values in between are
overwritten anyway. This pass decides where that is legal; the backend decides how much it fuses.
Fused layers stay in the net with their name, log lines and blobs. They run backward themselves,
unless the layer that fused them does that too (`Layer.fuses_backward`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minicaffe.net.program import Programs
from minicaffe.net.step import Step


class Chain(NamedTuple):
    """Steps, by their index in the net, that one kernel may compute."""

    first: int
    epilogue: list[int]


def find_chains(steps: Sequence[Step]) -> list[Chain]:
    """Return each step whose only output is changed in place by following steps, with these.

    A step of an epilogue begins a chain of its own, which matters where the step is not fused.
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
    """Fuses chains, and unfuses them where only part of a chain runs, or layers run one by one.

    A pass over a part of the net, or one with hooks or debug_info, must leave in each blob what
    Caffe leaves there; so only a chain that runs as a whole is fused.

    Parameters
    ----------
    steps : sequence of Step
        The whole net.
    programs : Programs
        Invalidated when the fused chains change.
    """

    def __init__(self, steps: Sequence[Step], programs: Programs) -> None:
        self._steps, self._programs = steps, programs
        self._chains = find_chains(steps)
        # Found once: reading a layer's settings in each pass took 0.5 % of LeNet's iteration.
        self._input_keepers = {
            steps[j] for chain in self._chains for j in chain.epilogue if _keeps_input(steps[j])
        }
        self._prepared: tuple[int, int, bool] | None = None
        self._runs_backward = False
        # By index of the head: fused steps whose own forward pass has not run since.
        self._skipped: dict[int, list[Step]] = {}

    def prepare(
        self, first: int, last: int, layer_by_layer: bool, then_backward: bool = False
    ) -> None:
        """Fuse the chains within the steps `first` to `last`, and unfuse the others.

        Parameters
        ----------
        first, last : int
            The steps that run forward, both included.
        layer_by_layer : bool
            Whether blobs are read between layers: nothing is fused.
        then_backward : bool
            Whether the same steps then run backward, with no other call in between.
        """
        if then_backward and not self._runs_backward:
            self._runs_backward, self._prepared = True, None
        wanted = (first, last, layer_by_layer)
        if wanted == self._prepared:
            return
        self._prepared = wanted
        for i, epilogue in self._chains:
            self._skip(i, epilogue, first)
            self._steps[i].fuse([])
        for i, epilogue in self._chains:
            head = self._steps[i]
            if not layer_by_layer and first <= i and not head.is_fused:
                head.fuse(self._fusible(head, epilogue, last))
        if self._chains:
            self._programs.invalidate()

    def prepare_backward(self, first: int, last: int, layer_by_layer: bool) -> None:
        """Unfuse what cannot run backward as it ran forward, and recompute it layer by layer.

        Those are chains with a fused backward pass of which the steps `first` down to `last` hold
        only a part, or which run layer by layer; and, in the TEST phase, layers whose backward pass
        needs their own forward pass. The latter stay unfused from then on.
        """
        self._runs_backward = True
        for i, epilogue in self._chains:
            head = self._steps[i]
            fused = head.fused or self._skipped.get(i, ())
            if not any(map(self._needs_input, fused)):
                continue
            n = len(fused)
            is_whole = last <= i and epilogue[n - 1] <= first and not layer_by_layer
            if head.fused and head.fuses_backward and is_whole:
                continue
            head.recompute_forward(fused)
            self._prepared = None
            self._programs.invalidate()
        self._skipped.clear()

    def _skip(self, i: int, epilogue: Sequence[int], first: int) -> None:
        """Remember the fused steps of a chain that a pass from step `first` does not run again."""
        steps = [self._steps[j] for j in epilogue[: len(self._steps[i].fused)] if j < first]
        if first <= i:
            self._skipped.pop(i, None)
        elif steps:
            self._skipped[i] = steps

    def _fusible(self, head: Step, epilogue: Sequence[int], last: int) -> list[Step]:
        steps: list[Step] = []
        for j in epilogue:
            step = self._steps[j]
            if j > last or head.keeps_tops:
                break
            if self._needs_own_forward(step) and not head.fuses_backward:
                break
            if step.keeps_tops and head.fuses_backward:
                break
            steps.append(step)
            if step.keeps_tops:
                # Its values are copied before a step that is not fused overwrites them.
                break
        return steps

    def _needs_own_forward(self, step: Step) -> bool:
        runs_backward = self._runs_backward or step.layer.is_training
        return runs_backward and self._needs_input(step)

    def _needs_input(self, step: Step) -> bool:
        """Return whether the step's backward pass reads values that its own forward pass keeps."""
        return step.needs_backward and step in self._input_keepers


def _keeps_input(step: Step) -> bool:
    epilogue_op = step.layer.epilogue_op()
    return epilogue_op is not None and epilogue_op.keeps_input
