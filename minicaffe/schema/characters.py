"""Characters that have no meaning in a prototxt: typographic, full-width and invisible ones."""

from __future__ import annotations

import re
import unicodedata

_TYPOGRAPHIC_QUOTES = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u00ab\u00bb\u300c\u300d"


def is_full_width(word: str) -> bool:
    """Return whether a word is made of other forms of ASCII characters, such as ６４ for 64."""
    return not word.isascii() and unicodedata.normalize("NFKC", word).isascii()


def lexical_error(text: str, match: re.Match[str]) -> str:
    """Return the error text for characters of `text` that begin no token of a prototxt."""
    found, rest = match.group(), text[match.start() : match.start() + 2]
    if found in "\"'":
        line = text[match.start() :].partition("\n")[0]
        escaped = re.search(r"\\[\"']\s*$", line)
        hint = "; a \\ before the closing quote is part of the text: write /" if escaped else ""
        return f"a string begins with {found} and is not closed on this line{hint}"
    if "\udc80" <= found <= "\udcff":
        return "this is not UTF-8 text; save the file as UTF-8"
    if rest in ("//", "/*"):
        return f'"{rest}" begins no comment here: comments begin with #'
    if found in _TYPOGRAPHIC_QUOTES:
        return f'{found} is a typographic quote, as word processors write it; write " instead'
    if is_full_width(found):
        plain = unicodedata.normalize("NFKC", found)
        return f"{found} is made of full-width characters; write {plain} instead"
    name = unicodedata.name(found, "a control character")
    if unicodedata.category(found)[0] == "C":
        return f"the invisible character U+{ord(found):04X} ({name}) has no meaning here; delete it"
    return f"the character {found!r} has no meaning here"


def number_as_name(text: str, offset: int, word: str) -> str:
    """Return the error text for a number where a field name belongs: 100,000; "" for a name."""
    if not re.fullmatch(r"[-+]?\d[\d.]*(?:[eE][-+]?\d+)?", word):
        return ""
    before = re.search(r"([\d.eE+-]*\d),$", text[max(0, offset - 32) : offset])
    if not before:
        return (
            f"a field name is expected here, not the number {word}. Several values of one field "
            "are written in brackets: [1, 2]"
        )
    found = re.match(r"(?:,?\d{3}(?!\d))*", text[offset:])
    whole = before[1] + (found.group().replace(",", "") if found else "")
    point = f"{before[1]}.{word}"
    advice = f"Write {point}"
    if len(whole) > len(before[1]) and before[1] != "0":
        is_one_group = len(whole) == len(before[1]) + 3
        advice = f"Write {whole} without commas"
        advice += f" ({point}, if it is a decimal comma)" if is_one_group else ""
    return f'"," does not belong into a number: {before[1]},{word}. {advice}'
