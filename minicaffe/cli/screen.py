"""The terminal that progress lines are drawn on: that of stderr, or that of the user's shell."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from minicaffe.cli.streams import has_cursor, has_terminal, terminal_width

_FOREGROUND = "/dev/tty"


class Screen:
    """A terminal that text is drawn on besides the log.

    Parameters
    ----------
    fd : int
        Its file descriptor.
    is_own : bool
        Whether it is closed at the end.
    """

    def __init__(self, fd: int, is_own: bool = False) -> None:
        self._fd, self._is_own = fd, is_own

    @classmethod
    def of_user(cls) -> Screen | None:
        """Return the terminal to draw on; None if there is none.

        That is stderr. If stderr is a pipe or a file, it is the terminal in whose shell the command
        was typed: the process then leads the foreground process group. A process that a program has
        started, whose output the program may want for itself, does not; nor does one in the
        background.
        """
        if sys.platform == "win32" or not has_cursor():
            return None
        if has_terminal():
            return cls(sys.stderr.fileno())
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
            return None
        try:
            # A terminal that is stopped by Ctrl-S must not stop the command.
            fd = os.open(_FOREGROUND, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            return None
        with suppress(OSError):
            if os.tcgetpgrp(fd) == os.getpid():
                return cls(fd, is_own=True)
        os.close(fd)
        return None

    @property
    def is_stderr(self) -> bool:
        """Whether this is the terminal of stderr."""
        return not self._is_own

    @property
    def width(self) -> int:
        """The width in columns, which changes when the user resizes the window."""
        return terminal_width(self._fd)

    @property
    def is_free(self) -> bool:
        """Whether the process is in the foreground, and no program such as `less` has the screen.

        Such programs read single keys, so the terminal does not collect lines for them.
        """
        if sys.platform == "win32":
            return False
        import termios

        with suppress(OSError):  # a terminal, but not of this session
            if os.tcgetpgrp(self._fd) != os.getpgrp():
                return False
        try:
            local_modes = int(termios.tcgetattr(self._fd)[3])
        except termios.error:
            return True
        return bool(local_modes & termios.ICANON)

    def write(self, text: str) -> None:
        """Write a text if the terminal is still there."""
        with suppress(OSError):
            os.write(self._fd, text.encode())

    def close(self) -> None:
        """Close the terminal if it was opened by `find`."""
        if self._is_own:
            self._is_own = False
            os.close(self._fd)


@contextmanager
def background_output() -> Iterator[None]:
    """Let a job in the background write to the terminal, even after ``stty tostop``.

    That would stop the job at its first line. Only for the main thread.
    """
    if sys.platform == "win32":
        yield
        return
    former = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTTOU, former)
