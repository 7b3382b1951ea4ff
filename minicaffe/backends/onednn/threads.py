"""How many threads to compute on."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

VARIABLES = ("MINICAFFE_THREADS", "OMP_NUM_THREADS")
CPUS = Path("/sys/devices/system/cpu")

# Whether this process was forked from one that computed; see `usable_threads`.
_were_left_behind = False


def usable_threads(wanted: int | None) -> int:
    """Return how many threads to compute on, where `wanted` were asked for (None: the default).

    One in a process that was forked from one that had a backend: OpenMP's threads stay behind, and
    the first loop on several would wait for them for ever.
    """
    _notice_forks()
    return 1 if _were_left_behind else wanted or default_threads()


@functools.cache
def _notice_forks() -> None:
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=_leave_behind)


def _leave_behind() -> None:
    global _were_left_behind
    _were_left_behind = True


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
