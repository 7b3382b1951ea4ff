"""How many threads to compute on."""

from __future__ import annotations

import functools
import os
from pathlib import Path

VARIABLES = ("MINICAFFE_THREADS", "OMP_NUM_THREADS")
CPUS = Path("/sys/devices/system/cpu")


def usable_threads(wanted: int | None) -> int:
    """Return how many threads to compute on, where `wanted` were asked for (None: the default).

    One in a process that was forked from one that had a backend: OpenMP's threads stay behind, and
    the first loop on several would wait for them for ever.
    """
    was_forked = os.getpid() != _first_process()
    return 1 if was_forked else wanted or default_threads()


@functools.cache
def _first_process() -> int:
    """Return the process that asked first: this one, or one that it was forked from."""
    return os.getpid()


def default_threads() -> int:
    """Return what MINICAFFE_THREADS or OMP_NUM_THREADS say, else the number of physical cores.

    Only cores that this process may run on count; two hardware threads of one core count once,
    as they share the units that multiply.
    """
    for variable in VARIABLES:
        text = os.environ.get(variable, "")
        if text.isdigit() and int(text) > 0:
            return int(text)
    return max(1, len({_core(cpu) for cpu in os.sched_getaffinity(0)}))


def _core(cpu: int) -> str:
    """Return a text that the hardware threads of one core have in common."""
    siblings = CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list"
    try:
        return siblings.read_text()
    except OSError:
        return str(cpu)
