"""Exceptions that a command did not expect: one line for the user instead of a traceback."""

from __future__ import annotations

import traceback
from pathlib import Path

from minicaffe.path_hints import one_line

_PACKAGE = Path(__file__).parents[2]


def is_from_users_code(error: Exception) -> bool:
    """Return whether a Python layer raised an exception; its author needs the traceback."""
    return any(": raised " in note for note in getattr(error, "__notes__", ()))


def unexpected_error(error: Exception, command: str) -> str:
    """Return the message for an exception that is not a `MinicaffeError`."""
    if isinstance(error, UnicodeEncodeError):
        return (
            f"{one_line(str(error.object))}: the locale's encoding, {error.encoding}, has no "
            "character for a part of it. Set LC_ALL=C.UTF-8 or PYTHONUTF8=1."
        )
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _PACKAGE in _parents(f)]
    where = f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    notes = "".join(f" {note}." for note in getattr(error, "__notes__", ()))
    text = one_line(str(error)) or "no message"
    return (
        f"unexpected {type(error).__name__}{where}: {text}.{notes} If the input is correct, this "
        f"is a fault of minicaffe: repeat the command with --debug and report it."
    )


def _parents(frame: traceback.FrameSummary) -> list[Path]:
    return list(Path(frame.filename).parents)
