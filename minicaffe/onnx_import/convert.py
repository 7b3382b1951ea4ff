"""Import of an ONNX model: one pass over its nodes, with the table of converters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minicaffe.errors import NetError, Problems, nearest
from minicaffe.onnx_import.dialects import DIALECTS
from minicaffe.onnx_import.graph import ModelGraph, read_onnx
from minicaffe.onnx_import.writer import NetWriter
from minicaffe.schema import LayerBlobs, NetParameter


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
        The file cannot be read, or has nodes for which the dialect has no layer; lists them all.
    MissingPackage
        The package onnx is not installed.
    """
    # Not at the top: its modules fill the table, whose type this module needs.
    from minicaffe.onnx_import.converters import CONVERTERS

    graph = read_onnx(path)
    writer = NetWriter(graph, DIALECTS[dialect], dialect)
    problems = Problems(NetError)
    for node in graph.nodes:
        writer.node = node
        try:
            if node.op not in CONVERTERS:
                writer.refuse(f"no layer of Caffe computes it. {nearest(node.op, CONVERTERS)}")
            CONVERTERS[node.op](writer)
        except NetError as error:
            problems.add(f"{path}: {error}")
            for name in filter(None, node.outputs):
                writer.top(name)  # so that later nodes are tried too
    for name in graph.outputs:
        if name in graph.constants or name in graph.inputs:
            problems.add(f'{path}: output "{name}" does not depend on a node with an input')
    problems.raise_if_any()
    return ImportedNet(writer.param, writer.weights(), graph)
