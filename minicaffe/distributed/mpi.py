"""Communicator over MPI, for arrays in main memory; needs the package mpi4py."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from minicaffe.distributed.communicator import ALONE, Communicator
from minicaffe.distributed.launch import Launch, mpiexec_beside_python
from minicaffe.distributed.waits import Waits
from minicaffe.errors import CommunicationError, MissingPackage
from minicaffe.ops.backend import HostArray

if TYPE_CHECKING:
    from mpi4py import MPI

P = ParamSpec("P")
T = TypeVar("T")

INSTALLATION = (
    "pip install 'minicaffe[mpi]', or pip install mpi4py on a cluster that has an MPI of its own"
)
_POLL_S = 0.005
_ABORT_S = 3
_PROXY = "hydra_pmi_proxy"
_FORWARDING_S = 0.5  # until the proxy has sent on what was printed


class MpiCommunicator(Communicator):
    """Processes that mpiexec or srun started.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    local : tuple of int
        Rank and number of processes of this machine.
    most_bytes : int
        Larger arrays are sent in parts, because MPI before version 4 counts with 31 bits.

    Attributes
    ----------
    waits : Waits
        The calls of this communicator and its duplicates.
    """

    def __init__(
        self, comm: MPI.Intracomm, local: tuple[int, int], most_bytes: int = 1 << 30
    ) -> None:
        from mpi4py import MPI

        self._mpi, self._comm, self._most_bytes = MPI, comm, most_bytes
        self.waits = Waits()
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.local_rank, self.local_size = local
        self.allows_threads = MPI.Query_thread() == MPI.THREAD_MULTIPLE

    @classmethod
    def of_world(cls) -> MpiCommunicator:
        """Return a communicator of all processes; collective."""
        from mpi4py import MPI

        with _mpi_errors(MPI.Exception):
            machine = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
            local = machine.Get_rank(), machine.Get_size()
            machine.Free()
            return cls(MPI.COMM_WORLD.Dup(), local)

    @property
    def waited_s(self) -> float:
        """Time in calls, seconds."""
        return self.waits.total_s

    @cached_property
    def library(self) -> str:
        """Library and version, for the log."""
        name, version = self._mpi.get_vendor()
        return f"{name} {'.'.join(map(str, version))}"

    def allreduce(self, values: HostArray) -> None:
        """Overwrite values with their sum over all processes; see `Communicator`."""
        for part in self._parts(values, values.dtype):
            self._call(self._comm.Allreduce, self._mpi.IN_PLACE, part)

    def broadcast(self, values: HostArray, root: int = 0) -> None:
        """Overwrite values with those of one process."""
        for part in self._parts(values):
            self._call(self._comm.Bcast, part, root)

    def exchange(self, values: HostArray, received: HostArray, partner: int) -> None:
        """Send values to another process and overwrite `received` with its values."""
        for sent, target in zip(self._parts(values), self._parts(received), strict=True):
            self._call(self._comm.Sendrecv, sent, partner, recvbuf=target, source=partner)

    def allgather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        return self._call(self._comm.allgather, value)

    def barrier(self) -> None:
        """Wait until every process has called this."""
        self._call(self._comm.Barrier)

    def meets_within(self, timeout_s: float) -> bool:
        """Return whether every process calls this within a time; then they return together."""
        request = self._call(self._comm.Ibarrier)
        end = time.monotonic() + timeout_s
        while not self._call(request.Test):
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
        return True

    def duplicate(self) -> MpiCommunicator:
        """Return a communicator of the same processes, for another thread."""
        local = self.local_rank, self.local_size
        twin = MpiCommunicator(self._call(self._comm.Dup), local, self._most_bytes)
        twin.waits = self.waits
        return twin

    def abort(self, exit_code: int) -> None:
        """End all processes; what was printed comes first."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if self.local_size < self.size and self._mpi.get_vendor()[0] == "MPICH":
            _end_proxy(exit_code)
        if hasattr(signal, "alarm"):  # Abort may hang while another thread is inside MPI
            signal.alarm(_ABORT_S)
        self._comm.Abort(exit_code)

    def _parts(self, values: HostArray, dtype: DTypeLike = np.uint8) -> Iterator[HostArray]:
        """Return views of an array of at most `most_bytes`, as elements or as bytes."""
        if not values.flags.c_contiguous:
            raise ValueError("arrays that are sent must be in C order")
        flat = values.reshape(-1).view(dtype)
        n = max(1, self._most_bytes // flat.itemsize)
        return (flat[first : first + n] for first in range(0, flat.size, n))

    def _call(self, function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        with self.waits.waiting(), _mpi_errors(self._mpi.Exception):
            return function(*args, **named)


def _end_proxy(exit_code: int) -> None:
    """End this process and the one by which MPICH's mpiexec started it: mpiexec then ends the job.

    Of several machines, mpiexec 5.0.2 waits for ever for those whose processes are not inside MPI,
    and for those that it cannot reach. It notices the end of the proxy when no process holds its
    socket any more, which this one has inherited.
    """
    parent = os.getppid()
    name = Path(f"/proc/{parent}/comm")
    if name.exists() and name.read_text().strip() == _PROXY:
        time.sleep(_FORWARDING_S)
        os.kill(parent, signal.SIGKILL)
        os._exit(exit_code)


@contextmanager
def _mpi_errors(kind: type[Exception]) -> Iterator[None]:
    """Convert errors of MPI."""
    try:
        yield
    except kind as error:
        raise CommunicationError(
            f"MPI: {' '.join(str(error).split())}. A process or the network between the machines "
            "may have failed; the messages of the other processes tell more."
        ) from error


def open_mpi(launch: Launch) -> Communicator:
    """Initialise MPI and return the communicator of all processes.

    Raises
    ------
    MissingPackage
        If mpi4py or its MPI library is missing.
    CommunicationError
        If the library does not know of the other processes.
    """
    found = f"{launch.launcher} started {launch.size or 'several'} processes"
    try:
        import mpi4py

        # Below, when launcher and library are known to fit: MPICH ends the process otherwise.
        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
        from mpi4py import MPI
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"{found}, which need package mpi4py ({error}). Install it with: {INSTALLATION}. "
            f"To train in one process, leave {launch.launcher} out."
        ) from None
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise MissingPackage(
            f"{found}, but mpi4py cannot load an MPI library ({reason}). Load the module of the "
            f"cluster's MPI, or install one: {INSTALLATION}"
        ) from None
    if launch.vendor in ("", MPI.get_vendor()[0]):
        if not MPI.Is_initialized():
            MPI.Init_thread(MPI.THREAD_MULTIPLE)
        if MPI.COMM_WORLD.Get_size() > 1:
            return MpiCommunicator.of_world()
        if launch.size is None:
            return ALONE
    raise CommunicationError(_wrong_launcher(launch, MPI.Get_library_version()))


def _wrong_launcher(launch: Launch, version: str) -> str:
    """Return the message for a library that takes each process as the only one."""
    library = " ".join(version.split("\n")[0].split(",")[0].strip(" \0").split())
    if launch.launcher == "srun":
        cure = "Try srun --mpi=pmix or --mpi=pmi2 (srun --mpi=list shows what there is)"
    else:
        cure = "Start with the mpiexec of that library"
        if (own := mpiexec_beside_python()) is not None:
            cure += f", which may be {own}"
    return (
        f"{launch.launcher} started {launch.size} processes, but the MPI library of mpi4py "
        f"({library}) does not know of the others: launcher and library belong to different "
        f"installations of MPI. {cure}."
    )
