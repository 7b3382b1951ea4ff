"""pycaffe's process-wide state: mode, device, precision, seed, solver count and rank.

Only pycaffe has such state. Its nets get their backend and seed from here when they are created.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from minicaffe import log as _log
from minicaffe.backends import PRECISIONS, get_backend
from minicaffe.distributed.launch import detected_launch
from minicaffe.distributed.present import present_communicator
from minicaffe.errors import BackendUnavailable, UsageError, nearest
from minicaffe.layers import LAYERS
from minicaffe.log import logger
from minicaffe.ops.backend import Backend
from minicaffe.pycaffe.notebooks.shell import notebook_shell

TRAIN = 0
TEST = 1
PHASES = {TRAIN: "TRAIN", TEST: "TEST"}


@dataclass
class _Session:
    mode: str = "CPU"
    device: int = 0
    precision: str | None = None
    seed: int | None = None
    nets_since_seed: int = 0
    # None: those of the net whose Python layer runs.
    solver_count: int | None = None
    solver_rank: int | None = None
    multiprocess: bool = False
    has_warned_of_net: bool = False
    has_warned_of_launcher: bool = False
    backends: dict[tuple[str, int, str | None], Backend] = field(default_factory=dict)


_session = _Session()
if sys.platform != "win32":
    # Worker threads do not survive fork(), so nets in a forked process get a new backend.
    os.register_at_fork(after_in_child=lambda: _session.backends.clear())


def set_mode_cpu() -> None:
    """Use the CPU for nets created after this call; existing nets are unchanged."""
    _session.mode = "CPU"


def set_mode_gpu() -> None:
    """Use the GPU for nets created after this call; existing nets are unchanged."""
    _session.mode = "GPU"


def set_device(device_id: int) -> None:
    """Set the GPU, counted from 0, for nets created in GPU mode after this call."""
    _session.device = int(device_id)


def set_precision(precision: str | None) -> None:
    """Set the number format of convolutions and inner products in nets created after this call.

    This function is an addition to Caffe's API. Parameters and their gradients stay float32.

    Parameters
    ----------
    precision : {"fp32", "tf32", "bf16", "fp16"} or None
        None, the default, selects fp32 on the CPU and tf32 on a GPU.

    Raises
    ------
    UsageError
        If `precision` is unknown. A precision that the mode lacks is refused when a net is created.
    """
    if precision is not None and precision not in PRECISIONS:
        raise UsageError(f'unknown precision "{precision}". {nearest(precision, PRECISIONS)}')
    _session.precision = precision


def set_random_seed(seed: int) -> None:
    """Seed fillers, dropout and all other random numbers of nets created after this call."""
    _session.seed = int(seed)
    _session.nets_since_seed = 0


def next_seed() -> int:
    """Return a seed for the next net, derived from `set_random_seed` and the number of nets since.

    Without `set_random_seed`, the operating system provides the seed.
    """
    if _session.seed is None:
        return int.from_bytes(os.urandom(4), "little")
    number = _session.nets_since_seed
    _session.nets_since_seed += 1
    if number == 0:
        return _session.seed
    digest = hashlib.blake2b(f"{_session.seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def current_backend() -> Backend:
    """Return the backend of the current mode, device and precision, shared by the process's nets.

    Raises
    ------
    BackendUnavailable
        If no GPU can be used in GPU mode, or the mode lacks the precision.
    """
    is_gpu, precision = _session.mode == "GPU", _session.precision
    key = (_session.mode, _session.device if is_gpu else 0, precision)
    if key not in _session.backends:
        backend = _gpu_backend() if is_gpu else get_backend(precision=precision)
        _session.backends[key] = backend
    return _session.backends[key]


def _gpu_backend() -> Backend:
    try:
        return get_backend("cuda", gpu=_session.device, precision=_session.precision)
    except BackendUnavailable as error:
        raise BackendUnavailable(
            f"caffe.set_mode_gpu() was called, but no GPU can be used: {error} "
            "Call caffe.set_mode_cpu() to compute on the CPU."
        ) from error


def phase_name(phase: int) -> str:
    """Return "TRAIN" or "TEST".

    Raises
    ------
    UsageError
        If `phase` is neither caffe.TRAIN nor caffe.TEST.
    """
    if phase not in PHASES:
        raise UsageError(f"unknown phase {phase!r}; use caffe.TRAIN (0) or caffe.TEST (1)")
    return PHASES[phase]


def stage_names(stages: Sequence[str] | None) -> Sequence[str] | None:
    """Return `stages` after checking that it is not a string.

    Raises
    ------
    UsageError
        If `stages` is a string, whose letters would be used as stages.
    """
    if isinstance(stages, str):
        raise UsageError(f'stages="{stages}": must be a list of names; write stages=["{stages}"]')
    return stages


def warn_of_launcher() -> None:
    """Log that solvers of several processes train each for itself, once, by rank 0."""
    launch = detected_launch()
    if launch is None or not launch.is_root or _session.has_warned_of_launcher:
        return
    _session.has_warned_of_launcher = True
    logger.warning(
        f"{launch.launcher} started {launch.size or 'several'} processes, and each of them trains "
        "a solver of its own: programs do not divide a training. The command does: mpiexec -n "
        f"{launch.size or 'N'} minicaffe train --solver=FILE. This is said once."
    )


def warn_of_deprecated_net(better: str) -> None:
    """Log that ``Net(network_file, weights, phase)`` is deprecated, once in a process.

    Parameters
    ----------
    better : str
        The current form of the call.
    """
    if not _session.has_warned_of_net:
        _session.has_warned_of_net = True
        logger.warning(
            f"Net(network_file, weights, phase) is the deprecated form; write {better}. "
            "This is said once."
        )


def start_log() -> None:
    """Print log lines on stderr: in a notebook, warnings and errors unless GLOG_minloglevel is set.

    A notebook would keep all lines of every net in its cells, and ``init_log()`` shows them.
    """
    is_short = notebook_shell() is not None and "GLOG_minloglevel" not in os.environ
    _log.to_stderr(logging.WARNING if is_short else None)


def layer_type_list() -> list[str]:
    """Return the names of all layer types, sorted."""
    return sorted(LAYERS)


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Print log lines on stderr.

    Parameters
    ----------
    level : int
        glog's level: 0 all lines, 1 warnings and errors, 2 errors, 3 fatal errors only.
    stderr : bool
        False leaves the log unchanged.
    """
    if stderr:
        _log.to_stderr(_log.level_of(level))


def log(message: str) -> None:
    """Log a message with the caller's file and line."""
    logger.info("%s", message, stacklevel=2)


def solver_count() -> int:
    """Return the number of solvers that train together.

    In the methods of a Python layer it is the number of processes that train the net, unless
    `set_solver_count` was called.
    """
    count = _session.solver_count
    return present_communicator().size if count is None else count


def set_solver_count(count: int) -> None:
    """Set the number of solvers that train together."""
    _session.solver_count = int(count)


def solver_rank() -> int:
    """Return the rank of this process among the solvers, from 0; see `solver_count`."""
    rank = _session.solver_rank
    return present_communicator().rank if rank is None else rank


def set_solver_rank(rank: int) -> None:
    """Set the rank of this process among the solvers."""
    _session.solver_rank = int(rank)


def set_multiprocess(multiprocess: bool) -> None:
    """Set whether solvers run in separate processes; stored for compatibility, has no effect."""
    _session.multiprocess = bool(multiprocess)


def has_nccl() -> bool:
    """Return False, because the command trains on several GPUs, and programs cannot.

    ``mpiexec -n N minicaffe train --solver=FILE --gpu=all``
    """
    return False
