"""Likely reasons why a file does not exist, for error messages; paths shown on one line."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from minicaffe.code_pages import code_page_hint
from minicaffe.errors import similar

_QUOTES = tuple("\"'\u201c\u201d\u2018\u2019")
_ODD_SPACES = re.compile("[\u00a0\u2000-\u200f\u202f\u3000]")
_VARIABLE = re.compile(r"\$\w|\$\{\w|%\w+%")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
_MOST_COMPARED = 1000  # names of a folder
_MOST_SHOWN = 5
_MOST_LISTED = 8  # of a folder's contents


def missing_file_hint(path: str | os.PathLike[str]) -> str:
    """Return " " and a sentence about a path that does not exist, "" if nothing is noticed.

    It is about the form of the path, or names files or folders that are there instead.
    """
    text = os.fspath(path)
    if hint := path_form_hint(path):
        return hint
    sentence = "" if not text or os.path.lexists(text) else _about_neighbours(Path(text))
    return sentence and f" {sentence}"


def not_found(path: str | os.PathLike[str], what: str = "file") -> str:
    """Return the message that there is no file, or nothing else, at a path, with what is there."""
    hint = missing_file_hint(path)
    advice = f".{hint}" if hint else "; check the path"
    return f"{one_line(path)}: no such {what} (in {Path.cwd()}){advice}"


def folder_hint(path: str | os.PathLike[str]) -> str:
    """Return " " and a sentence about the files and folders in a folder, "" if there are none."""
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in islice(entries, _MOST_COMPARED)]
    except OSError:
        return ""
    shown = sorted(one_line(name) for name in names if not name.startswith("."))
    more = ", ..." if len(shown) > _MOST_LISTED else ""
    return f" It contains {', '.join(shown[:_MOST_LISTED])}{more}." if shown else ""


def path_form_hint(path: str | os.PathLike[str]) -> str:
    """Return " " and a sentence about the characters of a path that does not exist, or "".

    It reads no folder, so that it is fast for the thousandth missing file of a list.
    """
    text = os.fspath(path)
    if os.path.lexists(text):
        return ""
    sentence = _about_encoding(text) or _about_characters(text)
    return sentence and f" {sentence}"


def relative_path_hint(path: str) -> str:
    """Return a sentence about a path that does not exist: what is wrong, or what it starts from."""
    if hint := path_form_hint(path):
        return hint.strip()
    neighbours = missing_file_hint(path)
    if Path(path).is_absolute():
        return neighbours.strip() or "Check the path."
    return f"The path is relative to the current directory, {Path.cwd()}.{neighbours}"


def files_beside(names: Iterable[str], message: str, prototxt: str) -> str:
    """Return " " and a sentence if a file that was not found lies beside the prototxt, or "".

    Paths in a net count from the working directory, as in Caffe.

    Parameters
    ----------
    names : iterable of str
        Texts in the settings of a layer.
    message : str
        The layer's error; texts that it does not name are not considered.
    prototxt : str
        The path of the file with the layer.
    """
    folder = Path(prototxt).parent
    for name in names:
        beside = folder / name
        if name in message and not os.path.lexists(name) and is_encodable(name) and beside.exists():
            return (
                f" {one_line(beside)} exists: paths in a net count from the current directory, "
                "so start in the folder of the net."
            )
    return ""


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


def _about_neighbours(path: Path) -> str:
    """Return a sentence about the first part of a path that is missing, and what is there."""
    missing = path
    while not missing.parent.exists():
        missing = missing.parent
    try:
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_COMPARED)]
    except OSError:
        return ""
    names = [name for name in names if not name.startswith(".")]
    suffix = missing.suffix
    stems = {name.removesuffix(suffix): name for name in names if name.endswith(suffix)}
    # Without the extension, which would make all names of the folder similar.
    found = [stems[stem] for stem in similar(missing.stem, stems)]
    # Names like x.solverstate.json, for a missing .solverstate, are similar by the extension too.
    others = [name for name in names if suffix not in Path(name).suffixes]
    found = found or similar(missing.name, others)
    shown = [one_line(missing.parent / name) for name in found]
    absence = "" if missing == path else f"There is no folder {one_line(missing)}."
    if not shown and suffix and not absence:
        alike = [one_line(missing.parent / name) for name in sorted(stems.values())]
        return f"Files of this type: {', '.join(alike[:_MOST_SHOWN])}." if alike else ""
    question = f"Did you mean {' or '.join(shown)}?" if shown else ""
    return " ".join(filter(None, (absence, question)))


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
