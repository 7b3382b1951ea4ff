"""Standard streams of a command: closed ones, and characters that they cannot encode."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

_DEFAULT_COLUMNS = 80


def prepare_streams() -> None:
    r"""Make stdin, stdout and stderr usable for a command.

    A stream that the shell closed (``>&-``) becomes the null device, because the next file that is
    opened would get its number and whatever a library prints. Characters that the encoding of a
    stream lacks (LC_ALL=C, cp1252, PYTHONIOENCODING=ascii) are printed as escapes, such as
    ``\\ud55c``, because an error would end the command after its work.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not _encodes_everything(stream):
            stream.reconfigure(errors="backslashreplace")


def has_terminal() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()  # None if closed by 2>&-


def has_cursor() -> bool:
    """Return whether terminals understand control sequences."""
    return sys.platform != "win32" and os.environ.get("TERM") not in ("dumb", "unknown")


def overwrite_line() -> None:
    """Let the next text on stderr replace its line, if that is a terminal."""
    if has_terminal():
        sys.stderr.write("\r\x1b[K" if has_cursor() else "\n")


def terminal_width(fd: int) -> int:
    """Return the number of columns of a terminal."""
    try:
        return os.get_terminal_size(fd).columns or _DEFAULT_COLUMNS
    except OSError:
        return _DEFAULT_COLUMNS


def _encodes_everything(stream: io.TextIOWrapper) -> bool:
    """Return whether a stream can print any file name."""
    is_unicode = stream.encoding.lower().replace("-", "") == "utf8"
    return stream.errors == "backslashreplace" or (
        is_unicode and stream.errors == "surrogateescape"
    )


def terminal() -> TextIO | None:
    """Return stdout or stderr, whichever is a terminal; None if neither is.

    Output that is not the answer of a command, and not a part of its log, belongs there only,
    because programs read both from pipes.
    """
    return next((s for s in (sys.stdout, sys.stderr) if s is not None and s.isatty()), None)
