"""ONNX files: a graph as a ModelProto, checked, and written atomically without copies of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe import __version__
from minicaffe.atomic_file import write_atomically
from minicaffe.errors import NetError
from minicaffe.onnx_export.graph import Attribute, OnnxGraph
from minicaffe.onnx_runtime import require_onnx
from minicaffe.ops.backend import HostArray, Shape
from minicaffe.wire_format import ByteChunk, length_delimited

IR_VERSION = 8
# protobuf's limit for a message.
_MOST_BYTES = 2**31 - 1
# Keys and lengths around an array, with a margin.
_MOST_OVERHEAD = 64
# Numbers of fields: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9


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
    model = _model_without_constants(graph, name)
    _check(model, graph)
    headers = {key: _tensor_header(key, array) for key, array in graph.constants.items()}
    rest = sum(len(header) + _MOST_OVERHEAD for header in headers.values())
    size = sum(array.nbytes for array in graph.constants.values())
    if size + rest + model.ByteSize() > _MOST_BYTES:
        raise NetError(
            f"{path}: cannot be exported to ONNX: the weights have {size:,} bytes, and a file that "
            f"holds everything has at most {_MOST_BYTES:,} (2 GiB), which is protobuf's limit"
        )
    content: list[ByteChunk] = [model.graph.SerializeToString()]
    for key, array in graph.constants.items():
        content += length_delimited(_INITIALIZER, [headers[key], *_raw_data(array)])
    model.ClearField("graph")
    with write_atomically(path) as file:
        file.writelines([model.SerializeToString(), *length_delimited(_GRAPH, content)])


def _model_without_constants(graph: OnnxGraph, name: str) -> Any:
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

    nodes, inputs, outputs = _nodes(graph), info(graph.inputs), info(graph.outputs)
    return helper.make_model(
        helper.make_graph(nodes, name or "net", inputs, outputs),
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=IR_VERSION,
        producer_name="minicaffe",
        producer_version=__version__,
    )


def _check(model: Any, graph: OnnxGraph) -> None:
    """Check a model without constants, which are declared as inputs meanwhile."""
    onnx = require_onnx()
    declared = onnx.ModelProto()
    declared.CopyFrom(model)
    for key, array in graph.constants.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        info = onnx.helper.make_tensor_value_info(key, kind, array.shape)
        declared.graph.input.append(info)
    onnx.checker.check_model(declared)


def _tensor_header(key: str, array: HostArray) -> bytes:
    """Return a TensorProto without values."""
    onnx = require_onnx()
    kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    header = onnx.TensorProto(dims=array.shape, data_type=kind, name=key)
    serialized: bytes = header.SerializeToString()
    return serialized


def _raw_data(array: HostArray) -> Iterator[ByteChunk]:
    """Yield the field of a TensorProto that holds the values."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    yield from length_delimited(_RAW_DATA, [little.reshape(-1).view(np.uint8).data])


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
