"""Which GPU a process computes on: --gpu, solver_mode and the process's number on its machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from minicaffe.backends import count_gpus
from minicaffe.errors import BackendUnavailable, UsageError
from minicaffe.log import logger

if TYPE_CHECKING:  # imports NumPy, which --help must not
    from minicaffe.distributed.communicator import Communicator


def gpu_numbers(text: str) -> list[int]:
    """Return the GPUs that --gpu names: "0", "0,1", or "all" for every GPU of the machine.

    Raises
    ------
    UsageError
        If the text has another form, or names a GPU twice.
    BackendUnavailable
        If the text is "all" and there is no GPU.
    """
    if text == "all":
        return list(range(count_gpus()))
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise UsageError(
            f"--gpu={text}: must be the number of a GPU, counted from 0, several separated by "
            "commas, or all"
        )
    numbers = [int(word) for word in words]
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"--gpu={text}: names a GPU twice")
    return numbers


def count_selected_gpus(gpu: str) -> int:
    """Return how many GPUs --gpu names, 0 without it.

    Raises
    ------
    BackendUnavailable
        If there are several, of which one does not exist.
    """
    numbers = gpu_numbers(gpu) if gpu else []
    if len(numbers) > 1 and max(numbers) >= (n := count_gpus()):
        raise BackendUnavailable(
            f"--gpu={gpu}: there is no GPU {max(numbers)}; this machine has {n}. "
            "`minicaffe device_query --gpu all` describes them."
        )
    return len(numbers)


def selected_gpu(gpu: str, backend: str, communicator: Communicator | None) -> int | None:
    """Return the GPU of this process that --gpu and --backend select; None for the CPU.

    Raises
    ------
    UsageError
        If the flags contradict each other.
    BackendUnavailable
        If they select several GPUs for one process, or fewer GPUs than there are processes.
    """
    is_alone = communicator is None or communicator.size == 1
    if not gpu and backend != "cuda":
        return None
    if gpu and backend not in ("auto", "cuda"):
        raise UsageError(f"--gpu={gpu} and --backend={backend}: give one of them")
    numbers = gpu_numbers(gpu or ("0" if is_alone else "all"))
    n = len(numbers)
    if communicator is not None and communicator.size > 1:
        return _gpu_of_rank(
            numbers, f"--gpu={gpu}" if gpu else f"--backend={backend}", communicator
        )
    if n > 1:
        raise BackendUnavailable(
            f"--gpu={gpu}: names {n} GPUs, and this command computes on one. Give one, as in "
            f"--gpu={numbers[0]}."
        )
    return numbers[0]


def preferred_gpu(device_id: int, communicator: Communicator | None) -> int:
    """Return the GPU of this process if the solver prefers GPUs.

    Parameters
    ----------
    device_id : int
        That of the solver, for a single process.
    communicator : Communicator or None

    Raises
    ------
    BackendUnavailable
        On all processes, if one of them has no GPU of its own.
    """
    if communicator is None or communicator.size == 1:
        return device_id
    number, reason = 0, ""
    try:
        number = _gpu_of_rank(range(count_gpus()), "solver_mode: GPU", communicator)
    except BackendUnavailable as error:
        reason = str(error)
    for other in communicator.allgather(reason):
        if other:
            raise BackendUnavailable(other)
    return number


def _gpu_of_rank(numbers: Sequence[int], given: str, communicator: Communicator) -> int:
    """Return the GPU of a process among those of its machine."""
    n, n_processes = len(numbers), communicator.local_size
    if n < n_processes:
        gpus = "1 GPU" if n == 1 else f"{n} GPUs"
        raise BackendUnavailable(
            f"{given}: {gpus} for {n_processes} processes on this machine; each process needs one "
            f"of its own. Start {n} on each machine, or train on the CPU without --gpu."
        )
    if n > n_processes and communicator.local_rank == 0:
        idle = ", ".join(map(str, numbers[n_processes:]))
        logger.warning(
            f"{given}: only {n_processes} of {n} GPUs are used, because so many processes run on "
            f"this machine; idle: {idle}. Start {n} processes to use all."
        )
    return numbers[communicator.local_rank]
