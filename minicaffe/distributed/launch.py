"""Launchers of several processes: which of them started this one, by its environment variables."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Launch:
    """Number of this process among those that a launcher started.

    Parameters
    ----------
    launcher : str
        Its command.
    rank : int
    size : int, optional
        Number of processes; None if only the MPI library knows it.
    vendor : str
        The MPI library that the launcher belongs to, as mpi4py names it; "" if it serves several.
    is_first_here : bool
        Whether no process of this machine has a lower rank.
    """

    launcher: str
    rank: int
    size: int | None
    vendor: str = ""
    is_first_here: bool = True

    @property
    def is_root(self) -> bool:
        """Whether this process prints what all processes would print."""
        return self.rank == 0


# Vendor, launcher, and its variables of rank and number of processes. The first that are set
# decide, because mpiexec in a job of Slurm starts helpers with srun, whose variables the ranks
# inherit. SLURM_NTASKS is not read: it is set in a script of sbatch too, which runs once.
_VARIABLES = (
    ("Open MPI", "mpiexec", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("", "mpiexec", "PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, Cray, srun --mpi=pmi2
    ("", "srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)
_LOCAL_RANKS = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
_PMIX_RANK = "PMIX_RANK"  # of other launchers, whose libraries tell the size only


def detected_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return what a launcher says of this process; None if it started no other.

    Parameters
    ----------
    environment : mapping
    """
    for vendor, launcher, rank, size in _VARIABLES:
        number, total = environment.get(rank, ""), environment.get(size, "")
        if number.isdecimal() and total.isdecimal():
            if int(total) == 1:
                return None
            local = next((environment[name] for name in _LOCAL_RANKS if name in environment), "0")
            return Launch(launcher, int(number), int(total), vendor, local == "0")
    number = environment.get(_PMIX_RANK, "")
    return Launch("the launcher", int(number), None) if number.isdecimal() else None


def mpiexec_beside_python() -> Path | None:
    """Return the mpiexec that pip has installed, if there is one."""
    found = Path(sys.executable).with_name("mpiexec")
    return found if found.exists() else None


def find_mpiexec() -> str | None:
    """Return the path of the mpiexec that most likely belongs to mpi4py's library."""
    found = mpiexec_beside_python()
    return str(found) if found is not None else shutil.which("mpiexec")
