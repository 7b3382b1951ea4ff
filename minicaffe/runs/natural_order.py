"""Order of names that contain numbers: run2 comes before run10."""

from __future__ import annotations

import re
from collections.abc import Sequence


def natural_key(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts names by the numbers in them: run2 before run10."""
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def naturally_ordered(names: Sequence[str]) -> list[str]:
    """Return names in natural order if they are in the alphabetical one, otherwise unchanged.

    A shell lists ``run*.log`` alphabetically; an order that the user chose is kept.
    """
    return sorted(names, key=natural_key) if list(names) == sorted(names) else list(names)
