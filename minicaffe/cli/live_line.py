"""A line of text that is redrawn in place, below everything that the command prints."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any, TextIO, cast

from minicaffe.cli.screen import Screen
from minicaffe.solver.progress import Text
from minicaffe.text_width import clipped

REFRESH_S = 0.2
# The reader of a pipe, such as `tee`, may print what it has read on the same terminal. The line is
# drawn so long after that, and does not wait longer than `_PATIENCE_S` for the reader.
_QUIET_S = 0.1
_PATIENCE_S = 1.0

_ERASE = "\r\x1b[J"
# Without automatic wrapping, so that letters which a terminal draws wider do not start a new line.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class LiveLine:
    """Line at the bottom of a terminal; a context manager, which erases it at the end.

    Inside the block, `sys.stdout` and `sys.stderr` erase the line before they write. The cursor
    stays at the beginning of the line: text that comes from elsewhere overwrites it.

    Parameters
    ----------
    screen : Screen
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._lock = threading.RLock()  # the data's thread logs too
        self._is_drawn = self._is_mid_line = False
        self._drawn_at, self._printed_at = float("-inf"), time.monotonic()
        self._pipe = _pipe_of(sys.stderr)  # that was written to last
        self._streams: tuple[TextIO, TextIO] | None = None

    @classmethod
    def on_terminal(cls) -> AbstractContextManager[LiveLine | None]:
        """Return a line on the terminal to draw on, or a context without a line."""
        screen = Screen.of_user()
        return cls(screen) if screen is not None else nullcontext()

    def __enter__(self) -> LiveLine:
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (
            stream if _is_file(stream) else cast(TextIO, _StreamAbove(stream, self))
            for stream in self._streams
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._streams is not None:
            sys.stdout, sys.stderr = self._streams
        with self._lock:
            self._erase()
        self._screen.close()

    def redraw(self, text: Text) -> None:
        """Draw the line, unless that was done a moment ago.

        Parameters
        ----------
        text : callable
            Returns the text for a number of columns. Called only if the line is drawn.
        """
        now = time.monotonic()
        if now - self._drawn_at < REFRESH_S:
            return
        if self._is_mid_line or not self._is_quiet(now) or not self._screen.is_free:
            return
        columns = self._screen.width
        line = clipped(text(columns), columns - 1)
        with self._lock:
            if not self._is_mid_line:  # another thread may have printed
                self._drawn_at, self._is_drawn = now, True
                self._screen.write(f"\r{_NO_WRAP}{line}{_WRAP}\x1b[J\r")

    def print_below(self, lines: list[str]) -> None:
        """Print lines on the terminal when what was printed before is there."""
        while not self._is_quiet(time.monotonic()):
            time.sleep(_QUIET_S / 5)
        with self._lock:
            self._erase()
            self._screen.write("".join(f"{line}\n" for line in lines))

    def print_at_once(self, message: str) -> None:
        """Print a line from a signal handler, which may have interrupted a method."""
        self._is_drawn = False
        if self._screen.is_free:
            self._screen.write(f"{_ERASE}{message}\n")

    @contextmanager
    def printing(self, stream: TextIO, text: str) -> Iterator[None]:
        """Erase the line before a stream writes `text`, in the block."""
        with self._lock:
            self._erase()
            try:
                yield
            finally:
                self._printed_at = time.monotonic()
                self._is_mid_line = not text.endswith("\n") if text else self._is_mid_line
                self._pipe = _pipe_of(stream)

    def _erase(self) -> None:
        if self._is_drawn:
            self._is_drawn = False
            if self._screen.is_free:
                self._screen.write(_ERASE)

    def _is_quiet(self, now: float) -> bool:
        """Return whether everything that was printed should have reached the terminal."""
        if self._pipe is None:
            return True
        waited = now - self._printed_at
        return waited > _PATIENCE_S or (waited > _QUIET_S and _is_read(self._pipe))


class _StreamAbove:
    """A text stream that erases a line before it writes."""

    def __init__(self, stream: TextIO, line: LiveLine) -> None:
        self._stream, self._line = stream, line

    def write(self, text: str) -> int:
        with self._line.printing(self._stream, text):
            return self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        with self._line.printing(self._stream, ""):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_file(stream: TextIO) -> bool:
    """Return whether a stream is a file, whose text appears on no terminal."""
    return stat.S_ISREG(_mode(stream))


def _pipe_of(stream: TextIO) -> int | None:
    """Return the descriptor of a stream that is a pipe, otherwise None."""
    return stream.fileno() if stat.S_ISFIFO(_mode(stream)) else None


def _mode(stream: TextIO) -> int:
    try:
        return os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):  # an object of a program, such as a notebook's
        return 0


def _is_read(pipe: int) -> bool:
    """Return whether nothing waits in a pipe for its reader."""
    import fcntl
    import termios

    try:
        return not any(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    except OSError:
        return True
