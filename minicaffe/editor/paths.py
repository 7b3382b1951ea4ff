"""Paths that begin with a text, for shells and editors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_MOST_FILES = 500
# A file in the folder of a database: LMDB's, LevelDB's.
_DATABASE_FILES = ("data.mdb", "CURRENT")


def paths_that_begin_with(start: str, folders: Iterable[Path]) -> dict[str, bool]:
    """Return the paths that begin with a text: those of one folder, hidden ones excluded.

    Parameters
    ----------
    start : str
        What is written of the path.
    folders : iterable of Path
        Where relative paths may begin.

    Returns
    -------
    dict of str to bool
        Path, and whether it is a folder that is not a database.
    """
    parent, _, name = start.rpartition("/")
    prefix = start[: len(start) - len(name)]
    found: dict[str, bool] = {}
    for folder in folders:
        try:
            entries = sorted((folder / (parent or ("/" if prefix else "."))).iterdir())
        except OSError:
            continue
        for entry in entries[:_MOST_FILES]:
            if not entry.name.startswith(".") and entry.name.startswith(name):
                is_database = any((entry / file).exists() for file in _DATABASE_FILES)
                found.setdefault(prefix + entry.name, entry.is_dir() and not is_database)
    return found
