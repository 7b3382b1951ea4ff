"""Names of the images that a command writes, one for each image that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minicaffe.errors import UsageError


def png_names(images: Sequence[str], folder_argument: str) -> list[str]:
    """Return NAME.png for each image.

    Parameters
    ----------
    images : sequence of str
        Paths.
    folder_argument : str
        How the command names the folder that is written to, for the error.

    Raises
    ------
    UsageError
        If two images have the same name.
    """
    names = [f"{Path(path).stem}.png" for path in images]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(
            f"{twice} would be written for several images; give images with different names, or "
            f"one folder after the other with {folder_argument} folders of their own"
        )
    return names
