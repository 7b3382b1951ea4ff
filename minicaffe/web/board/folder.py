"""The folder of a board: runs and files below it, and nothing outside of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from starlette.exceptions import HTTPException

from minicaffe.runs.folder import is_run
from minicaffe.runs.natural_order import natural_key

_DEEPEST = 6  # levels of folders that are searched
_MOST_FOLDERS = 20_000
_MOST_ENTRIES = 20_000  # that are read of one folder


class WalkedFolder(NamedTuple):
    """A folder with the names of its folders and files; of a run, these are left out."""

    path: Path
    is_run: bool
    subfolders: list[str]
    files: list[str]


class BoardFolder:
    """Finds runs and files below a folder.

    Parameters
    ----------
    root : Path
        The folder; all paths of requests are relative to it.

    Attributes
    ----------
    root : Path
        Without symbolic links.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def run_names(self) -> list[str]:
        """Return the names of all runs: their paths below the folder, with slashes."""
        names = (
            one.path.relative_to(self.root).as_posix() for one in self.folders_below() if one.is_run
        )
        return sorted(names, key=natural_key)

    def run(self, name: str) -> Path:
        """Return the folder of a run.

        Raises
        ------
        HTTPException
            With status 404, if there is none of the name below the folder.
        """
        path = self.path_below(name)
        if not is_run(path):
            raise HTTPException(404, f"no run {name}")
        return path

    def path_below(self, text: str) -> Path:
        """Return a path below the folder, symbolic links resolved.

        Raises
        ------
        HTTPException
            With status 404, if it is outside of the folder, or not a path.
        """
        try:
            found = (self.root / text).resolve()
        except (OSError, ValueError, RuntimeError):  # a null character, a loop of links
            found = None
        if found is None or not found.is_relative_to(self.root):
            raise HTTPException(404, f"{text}: not below the folder of this board")
        return found

    def folders_below(self, most: int = _MOST_FOLDERS) -> Iterator[WalkedFolder]:
        """Yield folders, breadth first.

        Hidden ones, links to folders, and what cannot be read are left out.

        Parameters
        ----------
        most : int
            Number of folders after which the search ends.
        """
        level, n_seen = [self.root], 0
        for _ in range(_DEEPEST):
            below: list[Path] = []
            for folder in level:
                n_seen += 1
                if n_seen > most:
                    return
                if is_run(folder):
                    yield WalkedFolder(folder, True, [], [])
                    continue
                subfolders, files = _entries(folder)
                yield WalkedFolder(folder, False, subfolders, files)
                below += [folder / name for name in subfolders]
            level = below


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and files in a folder, as far as they can be read."""
    subfolders: list[str] = []
    files: list[str] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _MOST_ENTRIES):
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                subfolders.append(entry.name)
            else:
                files.append(entry.name)
    return subfolders, files
