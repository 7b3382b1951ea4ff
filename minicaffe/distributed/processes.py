"""The communicator of the processes that were started together."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from minicaffe.distributed.launch import detected_launch

if TYPE_CHECKING:  # imports NumPy, which --help must not; MPI is for several processes only
    from minicaffe.distributed.communicator import Communicator


@functools.cache
def process_communicator() -> Communicator:
    """Return the communicator of all processes that were started with this one.

    MPI is initialised by the first call, if a launcher started several processes; it is finalised
    when Python exits.

    Raises
    ------
    MissingPackage
        If mpi4py or its MPI library is missing.
    CommunicationError
        If the launcher and the MPI library do not fit together.
    """
    launch = detected_launch()
    if launch is None:
        from minicaffe.distributed.communicator import ALONE

        return ALONE
    from minicaffe.distributed.mpi import open_mpi

    return open_mpi(launch)
