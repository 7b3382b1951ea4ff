"""One forward pass of a net on the trace backend: from a net to a graph."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import cast

from minicaffe.blob import Blob
from minicaffe.errors import NetError, Unsupported
from minicaffe.net.net import Net
from minicaffe.net.step import Step
from minicaffe.onnx_export import emitters  # noqa: F401 - registers the emitters
from minicaffe.onnx_export.backend import read_value
from minicaffe.onnx_export.graph import OnnxGraph, OnnxNode
from minicaffe.onnx_export.parameters import build_net
from minicaffe.onnx_export.tensor import Value
from minicaffe.schema import NetSource, NetState


def trace(
    source: NetSource,
    state: NetState,
    graph: OnnxGraph,
    fill_weights: Callable[[Net], object],
) -> OnnxGraph:
    """Add a net for inference to an empty graph, and return it.

    Parameters
    ----------
    source : NetSource
        The net, as `inference_net` returns it.
    state : NetState
    graph : OnnxGraph
    fill_weights : callable
        Writes the parameters of the net that it is given.

    Raises
    ------
    NetError
        If the net cannot be built, or a layer has no form in ONNX; names the layer and the reason.
    """
    with closing(build_net(source, state, graph, fill_weights)) as net:
        graph.taken.update(net.blobs)
        _name_parameters(net, graph)
        for blob in net.inputs:
            graph.inputs[blob.name] = blob.shape
            _value(blob).set(blob.name, blob.shape)
        for step in net.steps:
            _run(step, graph)
        _name_blobs(net, graph)
    if not graph.outputs:
        raise NetError(
            f"{source.where()}: nothing is left to export: no layer computes an output without "
            "labels"
        )
    _drop_unread(graph)
    return graph


def _value(blob: Blob) -> Value:
    return cast(Value, blob.data.value)  # type: ignore[attr-defined]


def _name_parameters(net: Net, graph: OnnxGraph) -> None:
    for layer in net.layers:
        for k, blob in enumerate(layer.blobs):
            value = _value(blob)
            value.constant = value.constant or f"{layer.name}/{k}"


def _run(step: Step, graph: OnnxGraph) -> None:
    layer = step.layer
    graph.layer = layer.name
    # Before the layer runs, because it may work in place.
    forms, n_nodes = [_value(blob).forms for blob in step.bottom], len(graph.nodes)
    try:
        step.forward()
    except Unsupported as reason:
        raise NetError(f"{layer.where}: cannot be exported to ONNX: {reason}") from None
    if layer.name in graph.sensitive:
        added = graph.nodes[n_nodes:]
        made = {name for node in added for name in node.outputs}
        read = {name for node in added for name in node.inputs}.difference(made, graph.constants)
        graph.watched[layer.name] = [read.intersection(names.values()) for names in forms]


def _name_blobs(net: Net, graph: OnnxGraph) -> None:
    """Give the values the names of the blobs that hold them at the end: outputs first."""
    made = {name for node in graph.nodes for name in node.outputs}
    names: dict[str, str] = {}
    for blob in net.outputs:
        graph.layer = blob.name
        value = read_value(graph, blob.data)
        if value == blob.name:
            continue  # an input that no layer reads
        if blob.name in graph.inputs:
            raise NetError(
                f'{net.source.where()}: blob "{blob.name}" is an input and, changed in place, an '
                "output, for which ONNX needs two names. Give the top of the last layer another "
                "name."
            )
        made.update(node.outputs[0] for node in graph.nodes[-1:])
        if value in names or value not in made:
            value = graph.one("Identity", value)
        names[value] = blob.name
        graph.outputs[blob.name] = blob.shape
    given = {top for step in net.steps if not step.layer.copies_bottom for top in step.top}
    for blob in net.blobs.values():
        name = _value(blob).forms.get(blob.shape, "")
        is_new = name in made and name not in names and blob.name not in graph.inputs
        if blob in given and is_new:
            names[name] = blob.name
    graph.rename(names)


def _drop_unread(graph: OnnxGraph) -> None:
    """Remove nodes and constants that no output needs."""
    needed = set(graph.outputs)
    kept: list[OnnxNode] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    graph.nodes = kept[::-1]
    graph.constants = {name: array for name, array in graph.constants.items() if name in needed}
