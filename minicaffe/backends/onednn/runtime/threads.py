"""Default number of compute threads: environment variables, or the physical cores."""

from __future__ import annotations

import functools
import os
from pathlib import Path

VARIABLES = ("MINICAFFE_THREADS", "OMP_NUM_THREADS")
CPUS = Path("/sys/devices/system/cpu")


def usable_threads(wanted: int | None) -> int:
    """Return the number of compute threads: `wanted`, or the default if that is None.

    In a process forked from one that had a backend it is 1, because OpenMP's threads do not survive
    fork(): the first parallel loop would wait for them for ever.
    """
    was_forked = os.getpid() != _first_process()
    return 1 if was_forked else wanted or default_threads()


@functools.cache
def _first_process() -> int:
    """Return the id of the process of the first call: this one, or one it was forked from."""
    return os.getpid()


def default_threads() -> int:
    """Return MINICAFFE_THREADS or OMP_NUM_THREADS if set, else the number of physical cores.

    Only cores in this process's affinity mask count. Two hardware threads of one core count once,
    because they share the multipliers.
    """
    for variable in VARIABLES:
        text = os.environ.get(variable, "")
        if text.isdigit() and int(text) > 0:
            return int(text)
    return max(1, len({_core(cpu) for cpu in os.sched_getaffinity(0)}))


def _core(cpu: int) -> str:
    """Return a text that identifies the core of a hardware thread."""
    siblings = CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
    try:
        return siblings.read_text()
    except OSError:
        return str(cpu)
