"""Files that come with the program beside its code: the nets of models/, the schema in proto/."""

from __future__ import annotations

from pathlib import Path

from minicaffe.errors import DataError

_PACKAGE = Path(__file__).parent


def shipped_folder(name: str) -> Path:
    """Return the folder of models ("models") or of the schema ("proto").

    A wheel has them in the package, a checkout of the repository beside it.

    Raises
    ------
    DataError
        If the installation lacks the folder.
    """
    for folder in (_PACKAGE / name, _PACKAGE.parent / name):
        if (folder / "lenet").is_dir() or (folder / "minicaffe.proto").is_file():
            return folder
    raise DataError(
        f"{_PACKAGE / name}: no such folder; this installation lacks {name}/. Install minicaffe "
        "from a wheel, or from a checkout of the whole repository."
    )
