"""Likely reasons why a file does not exist, for error messages; paths shown on one line."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from pathlib import Path

from minicaffe.code_pages import code_page_hint

_QUOTES = tuple("\"'\u201c\u201d\u2018\u2019")
_ODD_SPACES = re.compile("[\u00a0\u2000-\u200f\u202f\u3000]")
_VARIABLE = re.compile(r"\$\w|\$\{\w|%\w+%")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


def missing_file_hint(path: str | os.PathLike[str]) -> str:
    """Return " " and a sentence about what is wrong with a path, "" if nothing is noticed."""
    text = os.fspath(path)
    if os.path.lexists(text):
        return ""
    sentence = _about_encoding(text) or _about_characters(text)
    return sentence and f" {sentence}"


def relative_path_hint(path: str) -> str:
    """Return a sentence about a path that does not exist: what is wrong, or what it starts from."""
    if hint := missing_file_hint(path):
        return hint.strip()
    if Path(path).is_absolute():
        return "Check the path."
    return f"The path is relative to the current directory, {Path.cwd()}."


def one_line(path: str | os.PathLike[str]) -> str:
    r"""Return a path with control characters as escapes (``\t``, ``\n``), for messages."""
    return "".join(
        repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c
        for c in os.fspath(path)
    )


def unexpanded(path: str) -> bool:
    """Return whether a path begins with ~ or contains a variable, which only shells expand."""
    return path.startswith("~") or bool(_VARIABLE.search(path))


def is_encodable(path: str) -> bool:
    """Return whether file names of this system's locale can contain the characters of a path."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _about_encoding(text: str) -> str:
    if not is_encodable(text):
        return (
            f"File names are in {sys.getfilesystemencoding()} here, because of the locale; set "
            "LC_ALL=C.UTF-8 or PYTHONUTF8=1."
        )
    if _ESCAPED_BYTE.search(text) and not _is_utf8(text):
        hint = code_page_hint(os.fsencode(text))
        return f"The name is not UTF-8; save the file that contains it as UTF-8. It{hint}."
    for form in ("NFC", "NFD"):
        if os.path.lexists(unicodedata.normalize(form, text)):
            return f"A file exists whose name differs in Unicode normalisation ({form}); rename it."
    return ""


def _is_utf8(path: str) -> bool:
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return False
    return True


def _about_characters(text: str) -> str:
    if any(unicodedata.category(c) == "Cc" for c in text):
        return (
            "It contains a control character: in quotes, a backslash begins an escape (\\t is a "
            "tab, \\n a line break); write / or \\\\ in paths."
        )
    if unexpanded(text):
        return "~ and variables such as $HOME are not expanded here; write the whole path."
    if "\\" in text and os.sep != "\\":
        return "A \\ does not separate folders on this system; write /."
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return "The quotes are part of the name; remove them."
    if text[-1:] in (",", ";"):
        return f"The {text[-1]} at the end is part of the name; write a space there instead."
    if _ODD_SPACES.search(text):
        return "It contains a no-break, full-width or invisible space; write a plain one."
    if text != text.strip():
        return "The name begins or ends with a space; remove it."
    return ""
