"""What the processes of a training decide together, so that none waits for one that went on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minicaffe.distributed.communicator import Communicator, T
from minicaffe.errors import DivergedError, MinicaffeError, SnapshotError, SolverError
from minicaffe.log import logger
from minicaffe.solver.signals import MEANING, Action

# The strongest action comes first: it is what all processes do if one of them asks for it.
_ACTIONS = (Action.STOP, Action.SNAPSHOT)


class Agreement:
    """Combines what the processes of a training have found each for itself.

    Every method is called by all processes in the same order, and returns the same on all. With one
    process, each returns what it was given.

    Parameters
    ----------
    communicator : Communicator
        Used by the thread that trains.

    Attributes
    ----------
    rank, size : int
        Number of this process, and of all.
    is_alone : bool
        Whether there is one process.
    is_root : bool
        Whether this process writes the files.
    """

    def __init__(self, communicator: Communicator) -> None:
        self._communicator = communicator
        self.rank, self.size = communicator.rank, communicator.size
        self.is_alone, self.is_root = communicator.size == 1, communicator.is_root

    @property
    def wait_s(self) -> float:
        """Time that this process has waited for others, and sent and received, seconds."""
        return self._communicator.waited_s

    def agree_on(
        self, action: Action, values: Sequence[float] = ()
    ) -> tuple[Action, Sequence[float]]:
        """Return the strongest of the processes' actions, and the means of their values.

        Both are one message, because each message costs an iteration about 0.1 ms on a network.
        """
        if self.is_alone:
            return action, values
        found = np.array([*(action is one for one in _ACTIONS), *values], np.float64)
        self._communicator.allreduce(found)
        asked = [one for one, count in zip(_ACTIONS, found, strict=False) if count]
        strongest = asked[0] if asked else Action.NONE
        if strongest is not action:
            logger.info(f"Another process received a signal: {MEANING[strongest]}")
        return strongest, (found[len(_ACTIONS) :] / self.size).tolist()

    def means(self, values: Sequence[float]) -> Sequence[float]:
        """Return the means of the processes' values."""
        return self.agree_on(Action.NONE, values)[1]

    def gathered(self, value: T) -> list[T]:
        """Return the values of all processes, by rank; small objects that can be pickled."""
        return self._communicator.allgather(value)

    def own_part(self, n: int) -> range:
        """Return which of n pieces of work this process does: consecutive ones, nearly 1 / size."""
        return range(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def on_root(self, work: Callable[[], object]) -> None:
        """Call a function on rank 0, while the others wait for its end.

        Raises
        ------
        SnapshotError, SolverError, DivergedError
            On every process, if the function raises one on rank 0. Other errors are those of one
            process, which ends the others.
        """
        failure: MinicaffeError | None = None
        if self.is_root:
            try:
                work()
            except (SnapshotError, SolverError, DivergedError) as error:
                if self.is_alone:
                    raise
                failure = error
        if self.is_alone:
            return
        found = None if failure is None else (type(failure), str(failure))
        if (of_root := self._communicator.from_root(found)) is not None:
            kind, message = of_root
            raise kind(message) from failure
