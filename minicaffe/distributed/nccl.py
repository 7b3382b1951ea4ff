"""Sums over the GPUs of several processes with NCCL; needs CuPy and the library NCCL.

It has never run on GPUs: tests replace CuPy's module by a fake.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from minicaffe.distributed.communicator import Communicator
from minicaffe.errors import CommunicationError, MissingPackage
from minicaffe.log import logger

INSTALLATION = "pip install 'minicaffe[gpu-multi]'"


class NcclSum:
    """Sums of device arrays over all processes, each of which has a GPU of its own.

    Collective, like the methods. The GPU of this process must be the current one.

    Parameters
    ----------
    processes : Communicator
        Carries the identifier of the group to all processes.

    Raises
    ------
    MissingPackage
        On all processes, if one of them cannot load NCCL.
    """

    def __init__(self, processes: Communicator) -> None:
        self._nccl, reason = _nccl_or_reason()
        for other in processes.allgather(reason):
            if other:
                raise MissingPackage(f"{other}. Install it with: {INSTALLATION}")
        identifier = processes.from_root(self._nccl.get_unique_id() if processes.is_root else None)
        with _nccl_errors(self._nccl):
            self._group = self._nccl.NcclCommunicator(processes.size, identifier, processes.rank)

    @property
    def library(self) -> str:
        """Library and version, for the log."""
        number = int(self._nccl.get_version())
        return f"NCCL {number // 10000}.{number // 100 % 100}.{number % 100}"

    def enqueue_sum(self, address: int, n: int, stream: int) -> None:
        """Overwrite values on the GPU with their sum over all processes; see `DeviceSum`."""
        nccl = self._nccl
        with _nccl_errors(nccl):
            self._group.allReduce(address, address, n, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream)

    def raise_if_failed(self) -> None:
        """Raise CommunicationError if a sum failed since the last call."""
        with _nccl_errors(self._nccl):
            self._group.check_async_error()


def open_nccl(processes: Communicator, pci_bus: str, reason: str = "") -> NcclSum | None:
    """Return sums over the GPUs of all processes, or None if main memory is used; log which.

    Collective. The GPU of this process must be the current one.

    Parameters
    ----------
    processes : Communicator
    pci_bus : str
        Address of this process's GPU in its machine, "" if it computes on the CPU.
    reason : str
        Why main memory is used in any case, if it is.
    """
    gpus = processes.allgather((platform.node(), pci_bus))
    if processes.size == 1 or not any(bus for _, bus in gpus):
        return None
    reason = reason or _why_not_apart(gpus)
    if not reason:
        try:
            found = NcclSum(processes)
        except MissingPackage as error:
            reason = str(error)
        else:
            logger.info(f"Gradients are summed on the GPUs: {found.library}.")
            return found
    logger.info(f"Gradients are summed in main memory ({processes.library}): {reason}")
    return None


def _why_not_apart(gpus: Sequence[tuple[str, str]]) -> str:
    """Return which processes have no GPU of their own, "" if all have one.

    Parameters
    ----------
    gpus : sequence of (str, str)
        Machine and address of the GPU of each process; "" is the CPU.
    """
    for rank, (host, bus) in enumerate(gpus):
        if not bus:
            return f"rank {rank} on {host} computes on the CPU."
        if (other := gpus.index((host, bus))) < rank:
            return f"ranks {other} and {rank} on {host} share a GPU, which NCCL does not allow."
    return ""


# Any: CuPy has no type stubs.
def _nccl_or_reason() -> tuple[Any, str]:
    """Return CuPy's module, or why there is none."""
    try:
        from cupy.cuda import nccl
    except ImportError as error:
        return None, f"training on several GPUs needs CuPy and NCCL ({error})"
    if not getattr(nccl, "available", True):
        return None, "training on several GPUs needs NCCL, which CuPy cannot load"
    return nccl, ""


@contextmanager
def _nccl_errors(nccl: Any) -> Iterator[None]:
    """Convert errors of NCCL."""
    try:
        yield
    except nccl.NcclError as error:
        raise CommunicationError(
            f"NCCL: {error}. A GPU, a process or the network may have failed; NCCL_DEBUG=INFO "
            "shows more."
        ) from error
