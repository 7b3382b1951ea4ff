"""ONNX files: a graph as a ModelProto, checked and written atomically."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minicaffe import __version__
from minicaffe.atomic_file import write_atomically
from minicaffe.errors import NetError
from minicaffe.onnx_export.graph import Attribute, OnnxGraph
from minicaffe.onnx_runtime import require_onnx
from minicaffe.ops.backend import Shape

IR_VERSION = 8
# protobuf's limit for a message.
_MOST_BYTES = 2**31 - 1


def write_model(graph: OnnxGraph, path: str | Path, name: str) -> None:
    """Write a graph as an ONNX file.

    Parameters
    ----------
    graph : OnnxGraph
    path : str or Path
    name : str
        The name of the net.

    Raises
    ------
    NetError
        If the file would be larger than 2 GB.
    SnapshotError
        If the file cannot be written.
    """
    size = sum(array.nbytes for array in graph.constants.values())
    if size > _MOST_BYTES:
        raise NetError(
            f"{path}: the weights have {size} bytes; an ONNX file of one part holds at most "
            f"{_MOST_BYTES}"
        )
    model = _model(graph, name)
    require_onnx().checker.check_model(model)
    with write_atomically(path) as file:
        file.write(model.SerializeToString())


def _model(graph: OnnxGraph, name: str) -> Any:
    onnx = require_onnx()
    helper = onnx.helper

    def info(values: dict[str, Shape]) -> list[Any]:
        return [
            helper.make_tensor_value_info(
                key,
                onnx.TensorProto.FLOAT,
                [graph.free_axes.get(key, {}).get(k, size) for k, size in enumerate(shape)],
            )
            for key, shape in values.items()
        ]

    nodes = _nodes(graph)
    initializers = [
        onnx.numpy_helper.from_array(array, key) for key, array in graph.constants.items()
    ]
    inputs, outputs = info(graph.inputs), info(graph.outputs)
    made = helper.make_graph(nodes, name or "net", inputs, outputs, initializers)
    return helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=IR_VERSION,
        producer_name="minicaffe",
        producer_version=__version__,
    )


def _nodes(graph: OnnxGraph) -> list[Any]:
    return [
        require_onnx().helper.make_node(
            node.kind,
            node.inputs,
            node.outputs,
            name=f"{node.outputs[0]}:{node.kind}",
            **{key: _attribute(value) for key, value in node.attributes.items()},
        )
        for node in graph.nodes
    ]


def _attribute(value: Attribute) -> Any:
    """Return an attribute as onnx takes it; the values of an inner graph have no known shapes."""
    if not isinstance(value, OnnxGraph):
        return value
    onnx = require_onnx()
    inputs, outputs = (
        [onnx.helper.make_tensor_value_info(key, onnx.TensorProto.FLOAT, None) for key in names]
        for names in (value.inputs, value.outputs)
    )
    constants = [onnx.numpy_helper.from_array(array, key) for key, array in value.constants.items()]
    return onnx.helper.make_graph(_nodes(value), value.layer, inputs, outputs, constants)
