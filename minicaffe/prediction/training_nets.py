"""The training net that weights belong to, and the files that lie beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minicaffe.errors import MinicaffeError, NetError
from minicaffe.net.deployment.data_layer import data_layer
from minicaffe.runs.folder import is_run
from minicaffe.runs.record import read_record
from minicaffe.schema import NetSource, NetState, read_net, read_net_weights, read_solver

_MOST_NAMES = 10


def find_training_net(weights: Path) -> NetSource:
    """Return the training net beside a weights file, or in the folder above it.

    It is the prototxt with a data layer whose layers include all those of the weights, or the net
    that a solver there trains. A run folder has the net that it tested or trained.

    Raises
    ------
    NetError
        If there is none, or several.
    SnapshotError
        If the weights cannot be read.
    """
    if is_run(weights.parent):
        tested = weights.parent / "test-0.prototxt"
        return read_net(tested if tested.exists() else weights.parent / "train.prototxt")
    names = {layer.name for layer in read_net_weights(weights) if layer.blobs}
    folders = list(dict.fromkeys((weights.absolute().parent, weights.absolute().parent.parent)))
    for folder in folders:
        nets = [_fitting(path, names) for path in sorted(folder.glob("*.prototxt"))]
        found = {Path(net.path).resolve(): net for net in nets if net is not None}
        if len(found) == 1:
            return found.popitem()[1]
        if found:
            listed = ", ".join(net.path for net in list(found.values())[:_MOST_NAMES])
            raise NetError(
                f"{weights}: several training nets fit it: {listed}. Choose one with --net FILE."
            )
    raise NetError(
        f"{weights}: no training net fits it, neither in {folders[0]} nor in the folder above. "
        "Size, mean and scale of the images are in its transform_param: name it with "
        "--net TRAIN_VAL.prototxt."
    )


def folders_of(source: NetSource, weights: Path) -> list[Path]:
    """Return the folders in which files may lie that a training net names, or that belong to it."""
    folders = [Path(source.path).parent, weights.parent]
    for run in filter(is_run, dict.fromkeys(folders)):
        # Where the training ran, and where that is now if the project was moved.
        folders += [Path(read_record(run).folder), run.parent.parent]
    return list(dict.fromkeys(folders))


def _fitting(path: Path, names: set[str]) -> NetSource | None:
    """Return the net of a file, or the one that its solver trains, if it has data and these layers.

    Parameters
    ----------
    path : Path
        A net or a solver.
    names : set of str
        The layers that it must have.
    """
    try:
        net = read_net(path)
    except MinicaffeError:
        net_of_solver = _net_of_solver(path)
        if net_of_solver is None:
            return None
        net = net_of_solver
    layers = {layer.name for layer in net.param.layer}
    return net if names <= layers and data_layer(net, NetState()) is not None else None


def _net_of_solver(path: Path) -> NetSource | None:
    try:
        solver = read_solver(path).param
        return read_net(file_beside(solver.net or solver.train_net, [path.parent]))
    except MinicaffeError:
        return None


def file_beside(name: str, folders: Sequence[Path]) -> str:
    """Return a path that exists as it is or below one of some folders; otherwise as it is."""
    if name and not Path(name).exists():
        for folder in folders:
            if (folder / name).exists():
                return str(folder / name)
    return name
