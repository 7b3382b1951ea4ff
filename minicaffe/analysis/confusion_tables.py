"""Tables that `test --confusion` has written: where they are in a run, and what they contain."""

from __future__ import annotations

import csv
from pathlib import Path

CONFUSION, PER_CLASS, MISTAKES = "confusion.csv", "per_class.csv", "mistakes.csv"


def confusion_folders(folder: Path) -> list[Path]:
    """Return the folder and its subfolders that `test --confusion` has written to."""
    return [p for p in (folder, *sorted(folder.iterdir())) if (p / CONFUSION).is_file()]


def read_table(path: Path) -> list[list[str]]:
    """Return the rows of a table, the heads first; [] if it is missing or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error):
        return []
    return rows if len({len(row) for row in rows}) == 1 else []
