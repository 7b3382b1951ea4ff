"""Seventh pass: keep values that a backward pass reads and a later in-place layer overwrites.

A layer's backward pass runs after the forward passes of all later layers. One of them may have
changed a top, or a bottom, in place: directly, or through a view of its memory (Split, Reshape,
Flatten). Caffe computes a wrong gradient then. Here the step keeps a copy; a layer that needs only
the signs of its top takes them from its bottom where that is intact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from minicaffe.blob import Blob
from minicaffe.layers.base import InPlaceEffect
from minicaffe.net.step import Step

# By owner of the memory: the steps that write it in place, by index, and what they change.
Writes: TypeAlias = dict[Blob, list[tuple[int, InPlaceEffect]]]


def keep_overwritten_values(steps: Sequence[Step]) -> None:
    """Make the steps of a net keep what their backward passes read.

    Parameters
    ----------
    steps : sequence of Step
        Set up, with their backward plan.
    """
    writes = _find_writes(steps)
    if not writes:
        return
    for i, step in enumerate(steps):
        if step.needs_backward:
            bottoms, tops = (
                _overwritten_bottoms(step, i, writes),
                _overwritten_tops(step, i, writes),
            )
            if bottoms or tops:
                step.keep_values(bottoms, tops, _intact_signs(step, i, writes))


def _find_writes(steps: Sequence[Step]) -> Writes:
    writes: Writes = defaultdict(list)
    for i, step in enumerate(steps):
        effect = step.layer.in_place_effect
        if effect != "nothing":
            for blob in step.top:
                if blob in step.bottom:
                    writes[blob.data_owner].append((i, effect))
    return writes


def _overwritten_bottoms(step: Step, i: int, writes: Writes) -> list[Blob]:
    """Return the bottoms to copy; the kernel of an in-place layer saves the one it overwrites."""
    if not step.layer.reads_bottoms:
        return []
    bottoms = (blob for blob in step.bottom if blob not in step.top)
    return [blob for blob in bottoms if any(j >= i for j, _ in writes.get(blob.data_owner, ()))]


def _overwritten_tops(step: Step, i: int, writes: Writes) -> list[Blob]:
    harmful: tuple[InPlaceEffect, ...] = ("values",)
    match step.layer.reads_tops:
        case "nothing":
            return []
        case "values":
            harmful = ("magnitudes", "values")
    return [
        blob
        for blob in step.top
        if any(j > i and effect in harmful for j, effect in writes.get(blob.data_owner, ()))
    ]


def _intact_signs(step: Step, i: int, writes: Writes) -> Blob | None:
    """Return the bottom, if it has the signs that the layer reads and keeps them."""
    if step.layer.reads_tops != "signs":
        return None
    bottom, top = step.bottom[0], step.top[0]
    is_lost = any(j >= i for j, _ in writes.get(bottom.data_owner, ()))
    return None if is_lost or bottom.data_owner is top.data_owner else bottom
