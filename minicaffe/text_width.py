"""Width of text in a terminal, where Korean, Chinese and Japanese characters take two columns."""

from __future__ import annotations

import unicodedata


def display_width(text: str) -> int:
    """Return the number of columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def padded(text: str, width: int, on_the_left: bool = False) -> str:
    """Fill a text with spaces up to a width in columns."""
    spaces = " " * (width - display_width(text))
    return spaces + text if on_the_left else text + spaces


def _columns(character: str) -> int:
    # The first letter of a decomposed Korean syllable is wide; the others are drawn over it.
    if unicodedata.category(character) in ("Mn", "Me", "Cf") or "\u1160" <= character <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def clipped(text: str, width: int) -> str:
    """Return the beginning of a text that takes up to `width` columns."""
    if text.isascii():
        return text[:width]
    taken = 0
    for index, character in enumerate(text):
        taken += _columns(character)
        if taken > width:
            return text[:index]
    return text
