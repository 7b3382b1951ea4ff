"""Settings of a data-parallel training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from minicaffe.distributed.communicator import ALONE, Communicator
from minicaffe.distributed.device_sum import DeviceSum
from minicaffe.distributed.parts import BatchParts
from minicaffe.errors import UsageError

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
    device_sum : DeviceSum, optional
        Sums gradients of GPUs; by default they are copied to main memory and back. Not used with
        summation_parts and 16-bit gradients.

    Raises
    ------
    UsageError
        If summation_parts contradicts the number of processes or gradient_type.
    """

    communicator: Communicator = ALONE
    batch_is_total: bool = False
    summation_parts: int = 0
    gradient_type: GradientType = "float32"
    check_interval: int = 1000
    device_sum: DeviceSum | None = None

    def __post_init__(self) -> None:
        """Check the settings, with the words of the flags that set them."""
        parts, size = self.summation_parts, self.communicator.size
        if not parts:
            return
        flag = f"--summation_parts={parts}"
        if parts < 0 or parts & (parts - 1):
            smaller = 1 << max(parts, 2).bit_length() - 1
            raise UsageError(
                f"{flag}: must be a power of two, because gradients are added in pairs. The "
                f"nearest are {smaller} and {2 * smaller}"
            )
        if parts % size:
            numbers = ", ".join(str(1 << k) for k in range(parts.bit_length()))
            more = "" if size & (size - 1) else f", or give --summation_parts={size}"
            raise UsageError(
                f"{flag}: {size} processes cannot divide the parts equally. Start one of these "
                f"numbers of processes: {numbers}{more}"
            )
        if self.gradient_type != "float32":
            raise UsageError(
                f"--gradient_type={self.gradient_type} and {flag}: rounded sums depend on the "
                "number of processes. Leave one of them out"
            )

    @property
    def parts(self) -> BatchParts:
        """The parts of each batch that this process computes."""
        rank, size = self.communicator.rank, self.communicator.size
        count = self.summation_parts or size
        n = count // size
        return BatchParts(rank * n, n, count)

    def problems(self, iter_size: int) -> Iterator[tuple[str, str]]:
        """Yield which settings of the solver contradict these: field and message."""
        parts = self.summation_parts
        if parts and iter_size > 1:
            n = parts * iter_size
            instead = "a larger --summation_parts" if n & (n - 1) else f"--summation_parts={n}"
            yield (
                "iter_size",
                f"iter_size: {iter_size} and --summation_parts={parts}: both divide a batch into "
                "passes; only the latter adds gradients in a fixed order. Set iter_size: 1 and a "
                f"batch_size {iter_size} times as large, with {instead}",
            )

    @property
    def reason_for_main_memory(self) -> str:
        """Why the gradients of GPUs are summed in main memory, "" if a `DeviceSum` may do it."""
        if self.summation_parts:
            return f"--summation_parts={self.summation_parts} adds them in a fixed order."
        if self.gradient_type != "float32":
            return f"--gradient_type={self.gradient_type} rounds them."
        return ""

    @property
    def n_divisions(self) -> int:
        """By how much batch_size is divided: by the number of parts if it is the total."""
        return self.parts.count if self.batch_is_total else 1


IN_ONE_PROCESS = DataParallel()
