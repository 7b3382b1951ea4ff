"""A text in memory: tokens, positions, and corrections of nearly valid values."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from minicaffe.errors import SchemaError

# One token of prototxt; white space and comments belong to no group.
TOKEN = re.compile(
    r"""(?:\s+|\#[^\n]*)
      | (?P<word>[\w.+-]+)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<mark>[{}<>\[\]:;,])
      | (?P<other>.)""",
    re.VERBOSE,
)


class TextPosition(NamedTuple):
    """Line and column in a text, both counted from 1."""

    line: int
    column: int


class Token(NamedTuple):
    """A word, a quoted string, a punctuation mark, or ("end", "") at the end of the text."""

    kind: str
    text: str
    offset: int


class SourceText:
    """A text, the path that error messages give for it, and corrections of nearly valid values."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text = path, text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._corrections: list[tuple[int, int, str]] = []

    def correct(self, start: int, end: int, value: str) -> None:
        """Have a part of a line read as a value that is not longer; call this in text order."""
        self._corrections.append((start, end, value))

    def corrected(self) -> str:
        """Return the text with all corrections; everything keeps its line and column."""
        parts, done = [], 0
        for start, end, value in self._corrections:
            parts += [self.text[done:start], value.ljust(end - start)]
            done = end
        return "".join([*parts, self.text[done:]])

    def position(self, offset: int) -> TextPosition:
        """Return the line and column of an offset."""
        line = bisect_right(self._starts, offset)
        return TextPosition(line, offset - self._starts[line - 1] + 1)

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a line and column."""
        return self._starts[min(line, len(self._starts)) - 1] + column - 1

    def indent(self, offset: int) -> int:
        """Return the indentation of the line that contains an offset, in characters."""
        start = self._starts[bisect_right(self._starts, offset) - 1]
        line = self.text[start : self.text.find("\n", offset)]
        return len(line) - len(line.lstrip(" \t"))

    def error(self, offset: int, message: str) -> SchemaError:
        """Return a SchemaError whose message begins with the position of an offset."""
        line, column = self.position(offset)
        return SchemaError(f"{self.path}:{line}:{column}: {message}")
