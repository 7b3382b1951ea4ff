"""Values of fields that are text: names of types and policies, blobs of the net, files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from minicaffe import fillers
from minicaffe.editor.manual import layer_summary
from minicaffe.editor.outline import OutlineBlock
from minicaffe.layers import LAYERS
from minicaffe.schema.fork_names import FORKS, types_of
from minicaffe.solver import lr_policy
from minicaffe.solver.rules import RULES
from minicaffe.solver.scores.average_precision import AP_VERSIONS

# Of any message: fields that name a file or a folder.
_PATHS = {
    *("source", "mean_file", "meanfile", "root_folder", "label_map_file", "name_size_file"),
    *("file", "file_name", "video_file", "class_map", "softmax_tree", "save_file"),
    *("output_directory", "net", "train_net", "test_net", "weights", "snapshot_prefix"),
}
_TABLE_ROW = re.compile(r"^(\w+) {2,}(\S.*)$", re.MULTILINE)


def _of_table(docstring: str | None, names: Iterable[str]) -> dict[str, str]:
    """Return names with their row in the table of a module's docstring, "" without one."""
    rows = dict(_TABLE_ROW.findall(docstring or ""))
    return {name: rows.get(name, "") for name in names}


_NAMES: dict[str, Callable[[], Mapping[str, str]]] = {
    "LayerParameter.type": lambda: {name: layer_summary(name) for name in sorted(LAYERS)},
    "FillerParameter.type": lambda: _of_table(fillers.__doc__, fillers.FILLERS),
    "SolverParameter.type": lambda: dict.fromkeys(RULES, ""),
    "SolverParameter.lr_policy": lambda: _of_table(lr_policy.__doc__, lr_policy.POLICIES),
    "SolverParameter.regularization_type": lambda: dict.fromkeys(("L2", "L1"), ""),
    "SolverParameter.ap_version": lambda: dict.fromkeys(AP_VERSIONS, ""),
    "SolverParameter.eval_type": lambda: dict.fromkeys(("classification", "detection"), ""),
}


@cache
def names_of(field: str) -> Mapping[str, str]:
    """Return the values that a field takes, each with a line about it.

    Parameters
    ----------
    field : str
        Message and field, such as "FillerParameter.type".

    Returns
    -------
    mapping of str to str
        Empty if the field takes other values than names that are known.
    """
    return _NAMES.get(field, dict)()


@cache
def types_of_forks() -> frozenset[str]:
    """Return the layer types that forks added to Caffe."""
    return frozenset(kind for fork in FORKS for kind in types_of(fork))


def is_path(field: str) -> bool:
    """Return whether a field such as "DataParameter.source" names a file or a folder."""
    return field.rpartition(".")[2] in _PATHS


def blobs_before(layer: OutlineBlock) -> list[str]:
    """Return the blobs that a net has before a layer, the newest first."""
    if layer.parent is None:
        return []
    found = dict.fromkeys(layer.parent.texts("input"))
    for other in layer.parent.layer_blocks():
        if other is layer:
            break
        for name in other.texts("top"):
            found.pop(name, None)  # a blob that is computed in place is new again
            found[name] = None
    return list(reversed(found))
