"""Low priority for what the board computes, so that trainings keep the cores."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

_NICENESS = 10


def give_way() -> None:
    """Lower the priority of this thread: on Linux, each thread has its own."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


def lower_priority(process: int) -> None:
    """Lower the priority of a process."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process, _NICENESS)
