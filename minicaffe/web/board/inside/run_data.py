"""The databases that the nets of a run read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minicaffe.data.class_names import ClassNames
from minicaffe.log import suppress_info
from minicaffe.net.include_rules import filter_layers
from minicaffe.schema import NetState
from minicaffe.web.board.data_paths import found_below
from minicaffe.web.board.inside.run_parts import RunParts

_NAMES = ("labels.txt", "labelmap.prototxt")


@dataclass(frozen=True)
class RunDatabase:
    """A database that a layer reads.

    Parameters
    ----------
    net, layer : str
        Names of the net and of the layer.
    source : str
        As the net names it.
    path : Path or None
        Where it is, None if it is not there or not below the folder of the board.
    """

    net: str
    layer: str
    source: str
    path: Path | None


def databases_of(parts: RunParts, nets: Sequence[str] = ()) -> list[RunDatabase]:
    """Return the databases of some nets of a run, by default of all, each once."""
    found: dict[str, RunDatabase] = {}
    for name in nets or parts.net_names():
        net = parts.net(name)
        folders = parts.file_folders(net)
        with suppress_info():
            nodes = filter_layers(net.source, NetState(phase=net.phase))
        for node in nodes:
            source = node.param.data_param.source
            if source and source not in found:
                path = found_below(parts.board, folders, source)
                found[source] = RunDatabase(name, node.param.name, source, path)
    return list(found.values())


def class_names_of(parts: RunParts, has_boxes: bool) -> ClassNames:
    """Return the names of the classes from the files beside the net or where the training ran.

    Parameters
    ----------
    parts : RunParts
    has_boxes : bool
        Whether a label map is preferred, as for databases with boxes.
    """
    folders = parts.file_folders(parts.net())
    for name in reversed(_NAMES) if has_boxes else _NAMES:
        path = found_below(parts.board, folders, name)
        if path is not None and path.is_file():
            return ClassNames(str(path))
    return ClassNames()
