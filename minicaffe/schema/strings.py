r"""Texts in quotes in a prototxt: escapes, and their encoding.

A backslash begins an escape, so that a Windows path in quotes is read as something else
(``"D:\train\new"`` contains a tab and a line break) or is no valid text (``"C:\Users"``).
"""

from __future__ import annotations

import re

from google.protobuf import text_encoding

from minicaffe.code_pages import code_page_hint
from minicaffe.schema.locations import Entry

_ESCAPE = re.compile(
    r"""\\(?: (?P<letter>[abfnrtv])
            | (?P<octal>[0-3]?[0-7]{1,2}) | x(?P<hex>[0-9a-fA-F]{1,2})
            | u(?P<code>[0-9a-fA-F]{4}) | U(?P<long>00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})
            | [\\'"?] | (?P<wrong>.) )""",
    re.VERBOSE | re.DOTALL,
)
_BYTES_THAT_ARE_NOT_UTF8 = re.compile("[\udc80-\udcff]")
# Fields that name a file or folder; names of files contain no control characters.
_PATH_FIELDS = {
    *("source", "root_folder", "mean_file", "meanfile", "file_name"),
    *("net", "train_net", "test_net", "weights", "snapshot_prefix", "learned_net"),
}
_ADVICE = "write / or \\\\ in paths"
_MEANINGS = {"a": "a bell", "b": "a backspace", "f": "a form feed", "v": "a vertical tab"}
_MEANINGS |= {"n": "a line break", "r": "a carriage return", "t": "a tab"}


def string_problem(entry: Entry) -> tuple[int, str] | None:
    """Return the offset in a quoted text and the description of its first problem, or None."""
    text, name = entry.value.text, entry.name.text
    if _BYTES_THAT_ARE_NOT_UTF8.search(text):
        raw = text[1:-1].encode("utf-8", "surrogateescape")
        return (
            0,
            f'the value of "{name}" is not UTF-8; save the file as UTF-8. It{code_page_hint(raw)}',
        )
    if "\0" in text:
        return text.index("\0"), "a text cannot contain a NUL character"
    for match in _ESCAPE.finditer(text):
        if match["wrong"]:
            return match.start(), (
                f'"{match.group()}" is no escape that a text can have: {_ADVICE}; found {text}'
            )
        code = _code(match)
        if code == 0:
            return match.start(), f"a text cannot contain a NUL character; found {text}"
        if name in _PATH_FIELDS and code is not None and code < 0x80:
            meaning = _MEANINGS.get(match["letter"] or "", repr(chr(code)))
            return match.start(), (
                f'"{match.group()}" is {meaning}, which the path in "{name}" hardly contains: '
                f"{_ADVICE}; found {text}"
            )
    try:
        text_encoding.CUnescape(text[1:-1]).decode()
    except UnicodeError:
        return 0, f'the escapes in the value of "{name}" are not UTF-8; found {text}'
    return None


def _code(match: re.Match[str]) -> int | None:
    """Return the character code that an escape stands for; None for a quoted character."""
    if match["letter"]:
        return 1  # any control character
    if match["octal"]:
        return int(match["octal"], 8)
    digits = match["hex"] or match["code"] or match["long"]
    return int(digits, 16) if digits else None
