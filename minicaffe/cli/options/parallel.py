"""Flags of train about several processes: --summation_parts, --gradient_type, --check_interval."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from minicaffe.cli.flags import Flags, flag
from minicaffe.log import logger

if TYPE_CHECKING:  # imports NumPy, which --help must not
    from minicaffe.backends.cuda.backend import CudaBackend
    from minicaffe.distributed.communicator import Communicator
    from minicaffe.distributed.device_sum import DeviceSum
    from minicaffe.ops.backend import Backend
    from minicaffe.solver.parallel.settings import DataParallel, GradientType


class ParallelFlags(Flags):
    """Flags of train that say how several processes divide the work."""

    summation_parts: int | None = flag(
        at_least=1,
        metavar="P",
        help="divide each batch into P parts, a power of two, and add their gradients in an order "
        "that does not depend on the number of processes: 1, 2, 4, ... processes learn the same "
        "weights to the last bit if each has the same --threads",
    )
    gradient_type: str = flag(
        choices=("float32", "bfloat16", "float16"),
        help="number format in which processes exchange gradients (default: float32)",
    )
    check_interval: int | None = flag(
        at_least=0,
        metavar="K",
        help="compare the parameters of the processes after every K iterations, 0: never "
        "(default: 1000)",
    )

    def data_parallel(
        self, communicator: Communicator, batch_is_total: bool, backend: Backend
    ) -> DataParallel:
        """Return how the processes divide the training; collective."""
        from minicaffe.solver.parallel.settings import IN_ONE_PROCESS, DataParallel

        if communicator.size == 1:
            for words in self.given_words(ParallelFlags):
                if not words.startswith("--summation_parts"):
                    logger.warning(f"{words} has no effect: one process trains. Remove it.")
        interval = self.check_interval
        parallel = DataParallel(
            communicator,
            batch_is_total,
            self.summation_parts or 0,
            cast("GradientType", self.gradient_type or IN_ONE_PROCESS.gradient_type),
            IN_ONE_PROCESS.check_interval if interval is None else interval,
        )
        return replace(parallel, device_sum=_device_sum(parallel, backend))


def _device_sum(parallel: DataParallel, backend: Backend) -> DeviceSum | None:
    """Return NCCL's sums if each process has a GPU of its own."""
    from minicaffe.distributed.nccl import open_nccl

    with backend.lock:  # which makes the GPU the current one
        bus = cast("CudaBackend", backend).device.pci_bus if backend.name == "cuda" else ""
        return open_nccl(parallel.communicator, bus, parallel.reason_for_main_memory)
