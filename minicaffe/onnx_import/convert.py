"""Import of an ONNX model: one pass over its nodes, with the table of converters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minicaffe.errors import NetError, Problems
from minicaffe.onnx_import.dialects import DIALECTS
from minicaffe.onnx_import.graph import ModelGraph, ModelNode, read_onnx
from minicaffe.onnx_import.writer import NetWriter
from minicaffe.schema import LayerBlobs, NetParameter

# Messages about nodes that are shown; a net that does not fit has hundreds.
_MOST_REFUSED = 10


@dataclass(frozen=True)
class ImportedNet:
    """A net with its weights.

    Attributes
    ----------
    param : NetParameter
        The net, for the TEST phase; blobs have the names of the model's tensors.
    layers : list of LayerBlobs
        Its weights.
    graph : ModelGraph
        What was imported.
    """

    param: NetParameter
    layers: list[LayerBlobs]
    graph: ModelGraph


def import_onnx(path: str | Path, dialect: str = "bvlc") -> ImportedNet:
    """Convert an ONNX file to a net.

    Parameters
    ----------
    path : str or Path
        The file.
    dialect : str
        The Caffe that is to read the net: a key of `DIALECTS`.

    Raises
    ------
    NetError
        The file cannot be read, or has nodes for which the dialect has no layer: names all such
        operators, and the first nodes that are refused for another reason.
    MissingPackage
        The package onnx is not installed.
    """
    # Not at the top: its modules fill the table, whose type this module needs.
    from minicaffe.onnx_import.converters import CONVERTERS

    graph = read_onnx(path)
    writer = NetWriter(graph, DIALECTS[dialect], dialect)
    problems = Problems(NetError)
    unknown = [node for node in graph.nodes if node.op not in CONVERTERS]
    if unknown:
        where = "docs/import.md lists the operators"
        problems.add(f"{path}: no layer of Caffe computes {_counted(unknown)}. {where}")
    refused: list[str] = []
    for node in graph.nodes:
        writer.node = node
        try:
            if node.op in CONVERTERS:
                CONVERTERS[node.op](writer)
                continue
        except NetError as error:
            refused.append(f"{path}: {error}")
        for name in filter(None, node.outputs):
            writer.top(name)  # so that later nodes are tried too
    for message in refused[:_MOST_REFUSED]:
        problems.add(message)
    if len(refused) > _MOST_REFUSED:
        problems.add(f"{path}: {len(refused) - _MOST_REFUSED} more nodes are refused")
    for name in graph.outputs:
        if name in graph.constants or name in graph.inputs:
            problems.add(f'{path}: output "{name}" does not depend on a node with an input')
    problems.raise_if_any()
    return ImportedNet(writer.param, writer.weights(), graph)


def _counted(nodes: Sequence[ModelNode]) -> str:
    """Return the operators of nodes, each with its first node and the number of the others."""
    found: dict[str, list[ModelNode]] = {}
    for node in nodes:
        found.setdefault(node.op, []).append(node)
    return ", ".join(
        f'{op} (node "{first.name}"{f" and {len(others)} more" if others else ""})'
        for op, (first, *others) in found.items()
    )
