"""Files that a net names: where they are now, if that is below the folder of the board."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from starlette.exceptions import HTTPException

from minicaffe.schema import NetSource
from minicaffe.web.board.folder import BoardFolder


def locate_data(source: NetSource, board: BoardFolder, folders: Sequence[Path]) -> None:
    """Set the paths of the data, which have the size of the input, to where they are.

    Parameters
    ----------
    source : NetSource
        Is changed. Data that are not there get a path at which nothing is; those outside of the
        board get "".
    board : BoardFolder
    folders : sequence of Path
        The folders to which the paths may be relative.
    """
    for layer in source.param.layer:
        for param in (
            layer.data_param,
            layer.image_data_param,
            layer.dense_image_data_param,
        ):
            if param.source:
                named = folders[0] / param.source
                missing = "" if named.exists() else named
                param.source = str(found_below(board, folders, param.source) or missing)


def found_below(board: BoardFolder, folders: Iterable[Path], name: str) -> Path | None:
    """Return the file of a name in one of some folders, if it is below that of the board.

    The working directory does not count, because it is that of the board.
    """
    for folder in folders:
        try:
            path = board.path_below(str(folder.absolute() / name))
        except HTTPException:
            continue
        if path.exists():
            return path
    return None
