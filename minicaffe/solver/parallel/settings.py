"""Settings of a data-parallel training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from minicaffe.distributed.communicator import ALONE, Communicator
from minicaffe.distributed.parts import BatchParts

GradientType: TypeAlias = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class DataParallel:
    """How processes divide a training.

    Parameters
    ----------
    communicator : Communicator
        The processes.
    batch_is_total : bool
        Whether batch_size is the size of all processes' batches together, not of each.
    summation_parts : int
        Into how many parts each batch is divided, whose gradients are added in an order that does
        not depend on the number of processes; 0 for one part a process, added in any order.
    gradient_type : str
        In which number format gradients are sent.
    check_interval : int
        After so many iterations it is checked that all processes have the same parameters; 0 for
        never.
    """

    communicator: Communicator = ALONE
    batch_is_total: bool = False
    summation_parts: int = 0
    gradient_type: GradientType = "float32"
    check_interval: int = 1000

    @property
    def parts(self) -> BatchParts:
        """The parts of each batch that this process computes."""
        rank, size = self.communicator.rank, self.communicator.size
        count = self.summation_parts or size
        n = count // size
        return BatchParts(rank * n, n, count)

    @property
    def n_divisions(self) -> int:
        """By how much batch_size is divided: by the number of parts if it is the total."""
        return self.parts.count if self.batch_is_total else 1

    def problems(self, iter_size: int) -> Iterator[tuple[str, str]]:
        """Yield what contradicts settings of the solver: field and message."""
        if self.summation_parts and iter_size > 1:
            yield (
                "iter_size",
                f"iter_size: {iter_size} and --summation_parts={self.summation_parts}: both divide "
                "a batch into passes; only the latter adds gradients in a fixed order. Set "
                f"iter_size: 1, and --summation_parts={self.summation_parts * iter_size} if that "
                "is a power of two",
            )


IN_ONE_PROCESS = DataParallel()
