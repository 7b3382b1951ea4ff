"""Hints for lists and tables that a spreadsheet or another program wrote in another form."""

from __future__ import annotations

import re

_SEPARATORS = {"\t": "a tab", ",": "a comma", ";": "a semicolon", "\u00a0": "a no-break space"}
_SEPARATORS["\u3000"] = "a full-width space"
_SEPARATED = re.compile(r"""\S\s*([\t,;\u00a0\u3000])\s*"?[+-]?\d+"?\s*$""")
_MOST_DIGITS = 18  # of a 64-bit integer
_DECIMAL_COMMA = re.compile(r"\d,\d")


def is_count(text: str) -> bool:
    """Return whether a text is a whole number of at most 18 ASCII digits."""
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def is_label(text: str) -> bool:
    """Return whether a text is a whole number as in `is_count`, with or without one sign."""
    return is_count(text[1:] if text[:1] in ("+", "-") else text)


def list_line_hint(line: str) -> str:
    """Return a sentence about a line that is no path, space and label."""
    label = line.split()[-1].strip("\"'")
    if re.search(r"""["']\s*$""", line) and is_label(label):
        return "The quotes, as spreadsheets write them, do not belong into a list: remove them."
    if match := _SEPARATED.search(line.rstrip()):
        found = _SEPARATORS[match[1]]
        return f"It has {found} before the label, as spreadsheets write it: write a space."
    if not label.isascii() and label.isdecimal() and len(label) <= _MOST_DIGITS:
        return f"{label} is made of full-width digits: write {int(label)}."
    return "For several or other labels use HDF5Data."


def separator_hint(line: str) -> str:
    """Return " " and a sentence about separators of spreadsheets in a row of numbers, else ""."""
    for character in (";", "\t", ","):
        if character in line.strip() and not (character == "," and " " in line.strip()):
            return f" It has {_SEPARATORS[character]} between the numbers: write spaces."
    if _DECIMAL_COMMA.search(line):
        return " Decimal fractions have a point, not a comma."
    return ""
