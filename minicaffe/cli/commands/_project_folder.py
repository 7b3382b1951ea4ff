"""The folder of a new project, and what its nets and files are called."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minicaffe.errors import DataError, UsageError


def check_is_new(folder: Path, images: str) -> None:
    """Raise a DataError if a folder exists and is not empty."""
    if folder.is_dir() and not Path(images).exists():
        raise DataError(
            f"{folder}: exists, and {images} does not. The order is DIR IMAGES: the new folder of "
            "the project, then the folder of the images"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"{folder}: exists already, and is not an empty folder. Choose another name, or remove "
            "it"
        )


@contextmanager
def created_folder(folder: Path) -> Iterator[None]:
    """Create a folder, unless it is there; remove what is written into it if the block fails."""
    was_there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
        if folder.is_dir() and not was_there:
            folder.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise DataError(f"{folder}: cannot be written: {reason}") from error
        raise


def project_name(folder: Path) -> str:
    """Return the project's name in file names and layers."""
    return folder.resolve().name.replace(" ", "_").replace("/", "_") or "net"


def training_share(text: str) -> float:
    """Return the share of training images that --split gives."""
    parts = text.split("/")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(
            f"--split={text}: must be the ratio of training to validation images, as 80/20"
        )
    training, validation = map(int, parts)
    return training / (training + validation)
