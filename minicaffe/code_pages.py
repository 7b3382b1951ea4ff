"""Bytes that are not UTF-8: how they read in code pages of Windows, for messages."""

from __future__ import annotations

import unicodedata

_CODE_PAGES = ("cp949", "cp932", "gb18030", "cp1252")
_LONGEST_SAMPLE = 24
_MOST_READINGS = 3


def code_page_hint(line: bytes) -> str:
    """Return " " and how a line that is not UTF-8 reads in some code pages, and a command."""
    readings = []
    for name in _CODE_PAGES:
        try:
            text = line.decode(name).strip()
        except UnicodeDecodeError:
            continue
        if all(unicodedata.category(c)[0] != "C" for c in text if c != "\t"):
            readings.append(f'{name} ("{text[:_LONGEST_SAMPLE]}")')
    found = readings[:_MOST_READINGS]
    if not found:
        return " is in no known code page; is the file damaged?"
    listed = " or ".join(filter(None, (", ".join(found[:-1]), found[-1])))
    name = found[0].partition(" ")[0]
    return f" may be {listed}: iconv -f {name} -t utf-8 OLD > NEW"
