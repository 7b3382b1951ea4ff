"""One .zip of a run with what programs need that use the net: deploy net, weights, mean, labels."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from starlette.exceptions import HTTPException

from minicaffe.errors import MinicaffeError
from minicaffe.log import suppress_info
from minicaffe.net.deployment.data_layer import data_layer
from minicaffe.prediction.training_nets import find_training_net, folders_of
from minicaffe.project.deploy_net import deploy_text, make_deploy_net
from minicaffe.runs.folder import kept_weights
from minicaffe.schema import NetState
from minicaffe.web.board.data_paths import found_below, locate_data
from minicaffe.web.board.folder import BoardFolder


def write_archive(board: BoardFolder, run: Path, kind: str) -> Path:
    """Write the archive of a run to a temporary file, which the caller removes.

    Parameters
    ----------
    board : BoardFolder
        Files that are not below its folder are left out.
    run : Path
        The run folder.
    kind : str
        "best" or "last" weights; other: the best if the run has some, otherwise the last.

    Raises
    ------
    HTTPException
        With status 404, if the run has written no weights.
    """
    kinds = (kind,) if kind in ("best", "last") else ("best", "last")
    weights = next((path for one in kinds if (path := kept_weights(run, one))), None)
    if weights is None:
        raise HTTPException(404, f"the run has no {' or '.join(kinds)} weights yet")
    folders = folders_of(find_training_net(weights), weights)
    with tempfile.NamedTemporaryFile(suffix=".zip", delete=False) as file:
        try:
            # Weights hardly shrink, and take long.
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                archive.write(weights, weights.name)
                _add_net(archive, board, weights, folders)
                for folder in folders:
                    if path := found_below(board, [folder], "labels.txt"):
                        archive.write(path, "labels.txt")
                        break
        except BaseException:
            Path(file.name).unlink()
            raise
    return Path(file.name)


def _add_net(
    archive: zipfile.ZipFile, board: BoardFolder, weights: Path, folders: Sequence[Path]
) -> None:
    """Add the net that was trained, the net to deploy, and the mean file."""
    source = find_training_net(weights)
    archive.write(source.path, "train_val.prototxt")
    node = data_layer(source, NetState())
    mean = node.param.transform_param.mean_file if node is not None else ""
    if mean and (path := found_below(board, folders, mean)):
        archive.write(path, Path(mean).name)
    locate_data(source, board, folders)
    try:
        with suppress_info():
            deployed = make_deploy_net(source, NetState(), None)
        text = deploy_text(deployed, "train_val.prototxt")
        archive.writestr("deploy.prototxt", text)
    except MinicaffeError as error:
        archive.writestr("no_deploy_net.txt", f"There is no deploy.prototxt: {error}\n")
