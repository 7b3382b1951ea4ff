"""Communicators: what the processes of a training exchange, and the one of a single process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

from minicaffe.ops.backend import HostArray

T = TypeVar("T")


class Communicator(ABC):
    """A group of processes that call the same methods in the same order.

    Every method but `abort` and `exchange` is collective: it returns when all processes of the
    group have called it. A communicator belongs to one thread; `duplicate` makes one for another.

    Attributes
    ----------
    rank : int
        Number of this process, 0 to ``size - 1``.
    size : int
        Number of processes.
    local_rank, local_size : int
        The same among the processes of this machine.
    allows_threads : bool
        Whether duplicates may be used in several threads at the same time.
    waited_s : float
        Time that this process has spent in calls of this communicator and its duplicates.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    allows_threads: bool = True

    @property
    def waited_s(self) -> float:
        """See the class; 0 if it is not known."""
        return 0.0

    @property
    def is_root(self) -> bool:
        """Whether this process logs and writes files: rank 0."""
        return self.rank == 0

    @property
    @abstractmethod
    def library(self) -> str:
        """Library and version, for the log."""

    @abstractmethod
    def allreduce(self, values: HostArray) -> None:
        """Overwrite values with their sum over all processes.

        The sum is the same on every process, to the last bit; its order is the library's.

        Parameters
        ----------
        values : ndarray, float32, float64 or int64, C order
        """

    @abstractmethod
    def broadcast(self, values: HostArray, root: int = 0) -> None:
        """Overwrite values, any type in C order, with those of one process."""

    @abstractmethod
    def exchange(self, values: HostArray, received: HostArray, partner: int) -> None:
        """Send values to another process, which calls this too, and overwrite `received`.

        Both arrays are of one type, shape and C order. The partner may be this process.
        """

    @abstractmethod
    def allgather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank; small objects that can be pickled."""

    @abstractmethod
    def barrier(self) -> None:
        """Wait until every process has called this."""

    @abstractmethod
    def duplicate(self) -> Communicator:
        """Return a communicator of the same processes, whose calls are separate from these."""

    @abstractmethod
    def abort(self, exit_code: int) -> None:
        """End all processes of the group, this one included, as soon as possible."""

    def from_root(self, value: T) -> T:
        """Return the value of rank 0; a small object that can be pickled."""
        # Any: the other ranks send nothing.
        sent: Any = value if self.is_root else None
        first: T = self.allgather(sent)[0]
        return first


class SingleProcess(Communicator):
    """The communicator of a process that is alone: all methods return at once."""

    @property
    def library(self) -> str:
        """What the log says of it."""
        return "one process"

    def allreduce(self, values: HostArray) -> None:
        """Leave the values as they are."""

    def broadcast(self, values: HostArray, root: int = 0) -> None:
        """Leave the values as they are."""

    def exchange(self, values: HostArray, received: HostArray, partner: int) -> None:
        """Copy the values."""
        received[...] = values

    def allgather(self, value: T) -> list[T]:
        """Return the value in a list."""
        return [value]

    def barrier(self) -> None:
        """Return at once."""

    def duplicate(self) -> Communicator:
        """Return this communicator, which has no state."""
        return self

    def abort(self, exit_code: int) -> None:
        """End the process."""
        raise SystemExit(exit_code)


ALONE = SingleProcess()
