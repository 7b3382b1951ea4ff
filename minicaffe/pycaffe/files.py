"""File paths as arguments of pycaffe's functions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from minicaffe.errors import SchemaError

FilePath: TypeAlias = str | os.PathLike[str]


def require_file(path: FilePath) -> None:
    """Raise pycaffe's error, with a note, if the file does not exist."""
    if not Path(path).is_file():
        error = SchemaError(f"Could not open file {os.fspath(path)}")
        error.add_note(f"No such file in {Path.cwd()}; check the path")
        raise error
