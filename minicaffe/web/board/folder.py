"""The folder of a board: runs and files below it, and nothing outside of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from starlette.exceptions import HTTPException

from minicaffe.runs.folder import is_run
from minicaffe.runs.natural_order import natural_key

_DEEPEST = 6  # levels of folders that are searched for runs
_MOST_FOLDERS = 20_000


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
        found = (path.relative_to(self.root).as_posix() for path in self._runs())
        return sorted(found, key=natural_key)

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

    def _runs(self) -> Iterator[Path]:
        """Yield the run folders, breadth first; folders in runs are not searched."""
        level, n_seen = [self.root], 0
        for _ in range(_DEEPEST):
            below: list[Path] = []
            for folder in level:
                n_seen += 1
                if n_seen > _MOST_FOLDERS:
                    return
                if is_run(folder):
                    yield folder
                else:
                    below += _subfolders(folder)
            level = below


def _subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder that can be read; hidden ones and links are left out."""
    try:
        with os.scandir(folder) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
