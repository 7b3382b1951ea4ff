"""The losses of the last iterations, read when they are there or somebody wants them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from minicaffe.net.loss_future import LossFuture

# How many iterations later a loss is read at the latest: so late comes a warning at most.
LONGEST_DELAY = 100


class _Pending(NamedTuple):
    """What an iteration's loss is the mean of."""

    iteration: int
    batches: Sequence[LossFuture]

    @property
    def is_done(self) -> bool:
        return all(loss.is_done for loss in self.batches)

    def mean(self) -> float:
        total = 0.0
        for loss in self.batches:
            total += loss.result()
        return total / len(self.batches)


class Losses:
    """A backend that computes while Python goes on is not waited for in every iteration.

    Parameters
    ----------
    n : int
        How many losses to keep: average_loss.
    check : callable
        Called once with each iteration and its loss, in their order, as soon as it is read.
    """

    def __init__(self, n: int, check: Callable[[int, float], None]) -> None:
        self._known: deque[float] = deque(maxlen=n)
        self._pending: deque[_Pending] = deque()
        self._check = check

    def add(self, iteration: int, batches: Sequence[LossFuture]) -> None:
        """Add an iteration's loss; read all that are there, and those that are long due."""
        self._pending.append(_Pending(iteration, batches))
        while self._pending and (self._pending[0].is_done or len(self._pending) > LONGEST_DELAY):
            self._read()

    def _read(self) -> None:
        iteration, _ = pending = self._pending.popleft()
        loss = pending.mean()
        self._known.append(loss)
        self._check(iteration, loss)

    def values(self) -> list[float]:
        """Wait for all losses and return the last n.

        Raises
        ------
        LabelError
            If a label is not a class; see `LossFuture`.
        """
        while self._pending:
            self._read()
        return list(self._known)

    def mean(self) -> float:
        """Wait for all losses and return the mean of the last n; not a number without any."""
        values = self.values()
        return sum(values) / len(values) if values else float("nan")

    def restore(self, values: Iterable[float]) -> None:
        """Replace all losses."""
        self._pending.clear()
        self._known.clear()
        self._known.extend(values)
