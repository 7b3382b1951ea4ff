"""Targets: what is fuzzed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Files = dict[str, bytes]


@dataclass(frozen=True)
class Target:
    """Files of one kind, and the commands that read them.

    Attributes
    ----------
    make : callable
        Returns the files of an input from a source of random numbers and the input's number.
    commands : sequence of list of str
        Arguments of minicaffe; run one after the other in the folder of the files.
    outputs : sequence of str
        What the commands write; removed before each input.
    """

    make: Callable[[random.Random, int], Files]
    commands: Sequence[list[str]]
    outputs: Sequence[str] = ()


# Each prepares a target in the current folder.
TARGETS: dict[str, Callable[[], Target]] = {}


def target(prepare: Callable[[], Target]) -> Callable[[], Target]:
    """Register the function that prepares a target under its name."""
    TARGETS[prepare.__name__] = prepare
    return prepare
