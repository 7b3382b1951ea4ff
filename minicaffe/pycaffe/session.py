"""What pycaffe keeps for the process: mode, device, precision, seed, numbers of parallel runs.

Nothing else in minicaffe has such state; nets get backend and seed from here when they are made.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from minicaffe import log as _log
from minicaffe.backends import PRECISIONS, get_backend
from minicaffe.errors import BackendUnavailable, UsageError, nearest
from minicaffe.layers import LAYERS
from minicaffe.log import logger
from minicaffe.ops.backend import Backend

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
    solver_count: int = 1
    solver_rank: int = 0
    multiprocess: bool = False
    backends: dict[tuple[str, int, str | None], Backend] = field(default_factory=dict)


_session = _Session()
if sys.platform != "win32":
    # The threads of a backend do not come along into a forked process: nets get a new one there.
    os.register_at_fork(after_in_child=lambda: _session.backends.clear())


def set_mode_cpu() -> None:
    """Have nets made from now on compute on the CPU; nets that exist stay where they are."""
    _session.mode = "CPU"


def set_mode_gpu() -> None:
    """Have nets made from now on compute on the GPU; nets that exist stay where they are."""
    _session.mode = "GPU"


def set_device(device_id: int) -> None:
    """Choose the GPU for nets made in GPU mode from now on, counted from 0."""
    _session.device = int(device_id)


def set_precision(precision: str | None) -> None:
    """Choose what convolutions and inner products multiply, in nets made from now on.

    Caffe has no such function. Parameters and their gradients stay float32.

    Parameters
    ----------
    precision : {"fp32", "tf32", "bf16", "fp16"} or None
        None, as in the beginning: the mode's own, fp32 on the CPU and tf32 on a GPU.

    Raises
    ------
    UsageError
        If it is none of these. What the mode cannot compute in is found out when a net is made.
    """
    if precision is not None and precision not in PRECISIONS:
        raise UsageError(f'unknown precision "{precision}". {nearest(precision, PRECISIONS)}')
    _session.precision = precision


def set_random_seed(seed: int) -> None:
    """Make fillers, dropout and everything else random in nets made from now on compile."""
    _session.seed = int(seed)
    _session.nets_since_seed = 0


def next_seed() -> int:
    """Return the seed of the next net: another one for every net, given by `set_random_seed`.

    Without a seed, the operating system draws one.
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
    """Return the backend of the current mode and device; nets of a process share it.

    Raises
    ------
    BackendUnavailable
        In GPU mode, where no GPU can be used; or where the mode has not the precision.
    """
    is_gpu, precision = _session.mode == "GPU", _session.precision
    key = (_session.mode, _session.device if is_gpu else 0, precision)
    if key not in _session.backends:
        made = _gpu_backend() if is_gpu else get_backend(precision=precision)
        _session.backends[key] = made
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
    """Return the stages of a net.

    Raises
    ------
    UsageError
        If they are one text, whose letters would be taken for stages.
    """
    if isinstance(stages, str):
        raise UsageError(f'stages="{stages}": must be a list of names; write stages=["{stages}"]')
    return stages


def layer_type_list() -> list[str]:
    """Return the names of all layer types, sorted."""
    return sorted(LAYERS)


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Print log lines on stderr.

    Parameters
    ----------
    level : int
        glog's: 0 everything, 1 warnings and worse, 2 errors and worse, 3 fatal errors only.
    stderr : bool
        False leaves the log as it is.
    """
    if stderr:
        _log.to_stderr(_log.level_of(level))


def log(message: str) -> None:
    """Write a line of the program's own to the log, with the caller's file and line."""
    logger.info("%s", message, stacklevel=2)


def solver_count() -> int:
    """Return the number of solvers that train together."""
    return _session.solver_count


def set_solver_count(count: int) -> None:
    """Say how many solvers train together."""
    _session.solver_count = int(count)


def solver_rank() -> int:
    """Return the number of this process among the solvers, 0 for the first."""
    return _session.solver_rank


def set_solver_rank(rank: int) -> None:
    """Say which of the solvers this process is."""
    _session.solver_rank = int(rank)


def set_multiprocess(multiprocess: bool) -> None:
    """Say whether the solvers run in processes of their own; kept for programs that set it."""
    _session.multiprocess = bool(multiprocess)


def has_nccl() -> bool:
    """Return False: training over several GPUs with NCCL is not available."""
    return False
