"""Compute threads of processes that share the cores of a machine."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

from minicaffe.cores import usable_cores
from minicaffe.errors import BackendUnavailable

if TYPE_CHECKING:  # imports NumPy, which --help must not
    from minicaffe.distributed.communicator import Communicator


def threads_of_rank(wanted: int | None, communicator: Communicator | None) -> int | None:
    """Return the number of compute threads of a process: its share of the cores.

    Launchers may bind processes to cores. Those with the same cores share them.

    Parameters
    ----------
    wanted : int, optional
        That of --threads.
    communicator : Communicator, optional

    Returns
    -------
    int or None
        None for the backend's default, in a single process or if an environment variable sets it.
    """
    if wanted is not None or communicator is None or communicator.size == 1:
        return wanted
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    mine = (platform.node(), cores)
    n_sharing = communicator.allgather(mine).count(mine)
    try:
        from minicaffe.backends.onednn.runtime.threads import VARIABLES, default_threads
    except BackendUnavailable:
        return max(1, usable_cores() // n_sharing)
    if any(os.environ.get(variable) for variable in VARIABLES):
        return None
    return max(1, default_threads() // n_sharing)
