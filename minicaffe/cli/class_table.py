"""Table of classes and their numbers of images, as text."""

from __future__ import annotations

from collections.abc import Mapping

from minicaffe.data.class_names import ClassNames
from minicaffe.text_width import display_width, padded

_MOST_ROWS = 20


def class_lines(counts: Mapping[int, int], names: ClassNames, what: str = "images") -> list[str]:
    """Return a head and a line for each label; of many labels the most and the least frequent.

    Parameters
    ----------
    counts : mapping
        Number of images by label.
    names : ClassNames
    what : str
        What is counted, in the plural.
    """
    total = sum(counts.values())
    if len(counts) <= _MOST_ROWS:
        groups = [sorted(counts)]
    else:
        by_count = sorted(counts, key=lambda label: (-counts[label], label))
        groups = [by_count[: _MOST_ROWS // 2], by_count[-_MOST_ROWS // 2 :]]
    shown = [label for group in groups for label in group]
    has_names = any(names[label] != str(label) for label in shown)
    width = max([4, *(display_width(names[label]) for label in shown)])
    name_column = padded("name", width) + "  " if has_names else ""
    lines = [f"  {'label':>10}  {name_column}{what:>10}   share"]
    for number, group in enumerate(groups):
        if number:
            lines.append(f"  {'...':>10}  ({len(counts) - len(shown)} classes between these)")
        for label in group:
            name = padded(names[label], width) + "  " if has_names else ""
            share = 100 * counts[label] / max(total, 1)
            lines.append(f"  {label:>10}  {name}{counts[label]:>10}  {share:5.1f} %")
    return lines
