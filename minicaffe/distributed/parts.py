"""Parts of batches: which rows of each batch a process computes."""

from __future__ import annotations

from dataclasses import dataclass

from minicaffe.distributed.communicator import ALONE, Communicator


@dataclass(frozen=True)
class BatchParts:
    """The parts of each batch that a process computes, one after another.

    A batch of a data-parallel training is divided into `count` parts of as many rows each. A
    process computes the `n` parts from part `first` on, each in a forward and backward pass of its
    own. Part p has the rows ``p * rows`` to ``(p + 1) * rows - 1`` of the batch. An undivided batch
    is one part.

    Parameters
    ----------
    first : int
    n : int
    count : int
        ``first + n`` or more.
    """

    first: int = 0
    n: int = 1
    count: int = 1

    @property
    def n_after(self) -> int:
        """Number of parts after those of this process."""
        return self.count - self.first - self.n


WHOLE = BatchParts()


@dataclass(frozen=True)
class BatchRows:
    """The rows of each batch that a data source reads.

    Parameters
    ----------
    size : int
        Rows of a part: the batch_size of a data layer.
    parts : BatchParts
        The parts that are read, a batch of the source each.
    """

    size: int
    parts: BatchParts = WHOLE

    @property
    def n_in_batch(self) -> int:
        """Rows of the whole batch."""
        return self.size * self.parts.count

    @property
    def n_after(self) -> int:
        """Rows of the whole batch after those that are read."""
        return self.size * self.parts.n_after

    def of_pass(self, k: int) -> slice:
        """Return which rows of the whole batch the k-th pass over a part reads."""
        first = self.size * (self.parts.first + k)
        return slice(first, first + self.size)


@dataclass(frozen=True)
class WorkShare:
    """What a process does of the work of a net, and how it reaches the others.

    Parameters
    ----------
    parts : BatchParts
        The parts of each batch that this process computes.
    communicator : Communicator
        For layers whose statistics are those of the whole batch; used by the thread that runs the
        net.
    """

    parts: BatchParts = WHOLE
    communicator: Communicator = ALONE


UNDIVIDED = WorkShare()
