"""Identity of a process, so that a signal reaches the process that was meant and no other.

Linux gives the number of a process that has ended to another one. Boot, PID namespace, number and
time of the start together name one process. They are read from /proc; where there is none, no
process is identified.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
# Of /proc/PID/stat after the name, which may contain spaces and brackets: state and starttime.
_STATE, _START = 0, 19


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of one computer.

    Parameters
    ----------
    number : int
        Its PID.
    start : int
        When it started, in clock ticks since the boot.
    system : str
        Boot of the kernel and PID namespace, in which the number counts.
    """

    number: int
    start: int
    system: str

    @classmethod
    def of(cls, number: int) -> ProcessIdentity | None:
        """Return the identity of a running process; None if there is none, or no /proc."""
        try:
            words = (_PROC / f"{number}" / "stat").read_bytes().rpartition(b") ")[2].split()
            if words[_STATE] in (b"Z", b"X"):  # it has ended, and its parent has not asked yet
                return None
            return cls(number, int(words[_START]), _system())
        except (OSError, ValueError, IndexError):
            return None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs, on this computer."""
        return ProcessIdentity.of(self.number) == self

    @property
    def is_of_this_system(self) -> bool:
        """Whether the number is that of a process which could be seen here."""
        with suppress(OSError):
            return self.system == _system()
        return False

    def has_open(self, path: Path) -> bool:
        """Return whether the process has a file or folder open; False if that is hidden."""
        found = False
        with suppress(OSError):
            wanted = path.stat()
            for entry in (_PROC / f"{self.number}" / "fd").iterdir():
                with suppress(OSError):  # it has been closed meanwhile
                    found = found or os.path.samestat(entry.stat(), wanted)
        return found

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; return whether the process was there.

        Raises
        ------
        OSError
            If it is not allowed.
        """
        if sys.platform != "linux":
            return False
        try:
            # The handle stays that of one process, also if that ends before the signal is sent.
            handle = os.pidfd_open(self.number)
        except ProcessLookupError:
            return False
        try:
            if not self.is_alive:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


def _system() -> str:
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
