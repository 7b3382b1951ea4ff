"""File paths as arguments of pycaffe's functions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from minicaffe.errors import SchemaError
from minicaffe.path_hints import missing_file_hint

FilePath: TypeAlias = str | os.PathLike[str]


def require_file(path: FilePath) -> None:
    """Raise pycaffe's error, with a note, if the file does not exist."""
    if not Path(path).is_file():
        error = SchemaError(f"Could not open file {os.fspath(path)}")
        hint = missing_file_hint(path) or " Check the path."
        error.add_note(f"No such file in {Path.cwd()}.{hint}")
        raise error
