"""Reports of a training to its observers: values of a display, scores of a test, a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class DisplayReport:
    """What a display iteration logs.

    Attributes
    ----------
    iteration : int
        Number of updates made before.
    loss : float
        The smoothed loss.
    rate : float
        The learning rate, before lr_mult.
    outputs : dict of str to float
        The outputs of the training net; further values of one output are named ``name[1]``, ...
    iterations_per_s : float
        Speed since the last display; 0 at the first.
    """

    iteration: int
    loss: float
    rate: float
    outputs: dict[str, float]
    iterations_per_s: float


@dataclass(frozen=True)
class ScoreReport:
    """The scores of one test net.

    Attributes
    ----------
    iteration : int
        Number of updates made before.
    net : int
        Index of the test net.
    outputs : dict of str to float
        The means of its outputs, named as in `DisplayReport`.
    """

    iteration: int
    net: int
    outputs: dict[str, float]


@dataclass(frozen=True)
class SnapshotReport:
    """A snapshot that has been written completely.

    Attributes
    ----------
    iteration : int
        Number of updates made.
    weights, state : Path
        The .caffemodel and the .solverstate.
    """

    iteration: int
    weights: Path
    state: Path


@dataclass
class Observers:
    """Functions that a solver calls with its reports.

    They must not raise errors: one would end the training. Unlike the solver's callbacks, they do
    not separate the backward pass from the update.

    Attributes
    ----------
    displays, tests, snapshots : list of callable
        Called with a report of each.
    iterations : list of callable
        Called without arguments after each update.
    test_batches : list of callable
        Called before each batch of a test with its number, from 0, and the number of batches.
    """

    displays: list[Callable[[DisplayReport], object]] = field(default_factory=list)
    tests: list[Callable[[ScoreReport], object]] = field(default_factory=list)
    snapshots: list[Callable[[SnapshotReport], object]] = field(default_factory=list)
    iterations: list[Callable[[], object]] = field(default_factory=list)
    test_batches: list[Callable[[int, int], object]] = field(default_factory=list)
