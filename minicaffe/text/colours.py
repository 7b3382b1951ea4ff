"""Colours of text on terminals."""

from __future__ import annotations

import os
from typing import TextIO

_CODES = {"bold": 1, "faint": 2, "red": 31, "green": 32, "yellow": 33}


def has_colours(stream: TextIO) -> bool:
    """Return whether a stream is a terminal with colours, which NO_COLOR=1 switches off.

    Any other text in the variable does so as well (https://no-color.org).
    """
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown")
    return not is_plain and stream.isatty()


def coloured(text: str, name: str) -> str:
    """Return a text in bold, faint, red, green or yellow letters."""
    return f"\x1b[{_CODES[name]}m{text}\x1b[0m"
