"""The cores of this machine that the process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Return how many cores, counted as hardware threads, this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
