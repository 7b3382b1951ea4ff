"""Folders that appear under their name when they are complete, and never replace another one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minicaffe.atomic_file import sync_folder
from minicaffe.errors import DataError
from minicaffe.path_hints import relative_path_hint


@contextmanager
def new_folder(path: str, contents: str) -> Iterator[str]:
    """Create a folder; it appears under its name when the ``with`` block ends without an error.

    Parameters
    ----------
    path : str
    contents : str
        What such folders are, in the plural, for messages: "databases".

    Yields
    ------
    str
        The folder ``PATH.partial`` to write into, which an error or Ctrl-C removes.

    Raises
    ------
    DataError
        If `path` exists, or its parent folder does not.
    """
    partial = _claim(path, contents)
    try:
        yield partial
        sync_folder(Path(partial))
        Path(partial).rename(path)
        sync_folder(Path(path).absolute().parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _claim(path: str, contents: str) -> str:
    """Make the folder to write into, if nothing of the final name exists."""
    if os.path.lexists(path):
        raise DataError(
            f"{path}: exists already; {contents} are never overwritten or added to. Remove it "
            f"(rm -r {path}) or choose another name."
        )
    partial = f"{path.rstrip('/')}.partial"
    try:
        Path(partial).mkdir()
    except FileExistsError as error:
        raise DataError(
            f"{partial}: exists already; another command is writing it, or one was killed. If "
            f"none is running, remove it (rm -r {partial})."
        ) from error
    except OSError as error:
        raise DataError(
            f"{path}: cannot be created: {error.strerror}. {relative_path_hint(path)}"
        ) from error
    return partial
