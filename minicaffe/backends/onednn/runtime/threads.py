"""Number of compute threads: of a backend, and of one call by the amount of its work.

A call on several threads waits for the last of them. On an idle core a thread takes microseconds to
begin, and on one that another program uses it waits for a time slice, some milliseconds. Calls of
little work therefore use the calling thread only: a net of 6 kB took 18 ms an iteration on two busy
cores, and takes 1 ms.

The choice depends on the work, not on the load of the machine, because sums in another order are
rounded differently: a resumed training equals an uninterrupted one bit for bit. While cores are
busy, calls that are not much longer use one thread as well, if that changes no bit; see
`core_watch`, `native` and `brief_run`.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

VARIABLES = ("MINICAFFE_THREADS", "OMP_NUM_THREADS")
CPUS = Path("/sys/devices/system/cpu")


# What one core of an AMD EPYC does in small calls, per second.
MULTIPLY_ADDS_PER_S = 40e9
BYTES_PER_S = 40e9
# A second thread saves half of this and costs about as much.
SHORTEST_SHARED_S = 8e-6
# A delay by a busy core is small beside the work of larger nets, and comparing both forms of their
# primitives takes seconds: GoogLeNet's training step took three times as long while they were made.
LONGEST_BRIEF_S = 0.2e-3
# C kernels have one form only. Longer calls gain more from several cores than they lose by waiting.
LONGEST_THREADED_S = 4e-3


@dataclass(frozen=True)
class Threads:
    """Compute threads of a backend.

    Parameters
    ----------
    most : int
        Their number.
    are_given : bool
        Whether the user asked for that number: every call then uses all of them.
    """

    most: int
    are_given: bool = True

    def for_work(self, multiply_adds: float = 0.0, size_bytes: float = 0.0) -> int:
        """Return the number of threads for one call: all, or one if there is little to do.

        There is nothing in between, because OpenMP ends the threads that the next call does not
        use, and starting them again takes longer than a small call.

        Parameters
        ----------
        multiply_adds : float
        size_bytes : float
            Of all values that are read or written.
        """
        is_small = seconds_of(multiply_adds, size_bytes) < SHORTEST_SHARED_S
        return 1 if is_small and not self.are_given else self.most


def seconds_of(multiply_adds: float = 0.0, size_bytes: float = 0.0) -> float:
    """Return an estimate of the time that work takes on one idle core."""
    return multiply_adds / MULTIPLY_ADDS_PER_S + size_bytes / BYTES_PER_S


def compute_threads(wanted: int | None) -> Threads:
    """Return the compute threads: `wanted`, or the default if that is None.

    In a process forked from one that had a backend it is 1, because OpenMP's threads do not survive
    fork(): the first parallel loop would wait for them for ever.
    """
    if os.getpid() != _first_process():
        return Threads(1)
    return Threads(wanted) if wanted else Threads(default_threads(), are_given=False)


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
