"""A view of an ONNX graph: nodes, constants and shapes, after folding what is constant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minicaffe.errors import NetError
from minicaffe.onnx_runtime import require_onnx
from minicaffe.ops.backend import Shape
from minicaffe.path_hints import not_found

if TYPE_CHECKING:
    import onnx

Values = npt.NDArray[np.generic]

_LARGE = 4096  # values of a constant that no shape depends on


@dataclass(frozen=True)
class ModelNode:
    """A node.

    Attributes
    ----------
    name : str
        Its name, or that of its first output if it has none.
    op : str
        The operator's type.
    inputs, outputs : list of str
        Names of tensors; "" for an optional one that is left out.
    attributes : dict
        Values by name: numbers, strings, lists and arrays.
    """

    name: str
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]  # Any: what the operator defines


class ModelGraph:
    """The nodes that compute from the inputs, with constants folded.

    Parameters
    ----------
    model : ModelProto
        An ONNX model; a dynamic batch size becomes 1.

    Attributes
    ----------
    nodes : list of ModelNode
        In an order in which they can run.
    constants : dict of str to ndarray
        Initializers, and what nodes compute from them and from shapes.
    shapes : dict of str to tuple
        Of all tensors whose shape is known.
    inputs, outputs : list of str
    input_types : dict of str to int
        The element type of each input, as ONNX numbers them.
    opset : int
        The version of the operators.
    notes : list of str
        What was decided, for the user.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx import numpy_helper

        self.model = model
        graph = model.graph
        self.notes: list[str] = []
        self.opset = next((x.version for x in model.opset_import if x.domain in ("", "ai.onnx")), 1)
        self.constants: dict[str, Values] = {
            x.name: numpy_helper.to_array(x) for x in graph.initializer
        }
        given = [x for x in graph.input if x.name not in self.constants]
        self.inputs = [x.name for x in given]
        self.outputs = [x.name for x in graph.output]
        self.shapes: dict[str, Shape] = {x.name: self._input_shape(x) for x in given}
        self.input_types = {x.name: x.type.tensor_type.elem_type for x in given}
        protos = list(graph.node)
        while True:
            self._infer(protos)
            left = [proto for proto in protos if not self._fold(proto)]
            if len(left) == len(protos):
                break
            protos = left
        self.nodes = [_node_of(proto) for proto in protos]
        read = Counter(name for node in self.nodes for name in node.inputs)
        read.update(self.outputs)
        self._n_readers = read

    def n_readers(self, tensor: str) -> int:
        """Return how often a tensor is read; outputs of the graph count as well."""
        return self._n_readers[tensor]

    def _input_shape(self, info: onnx.ValueInfoProto) -> Shape:
        dims = info.type.tensor_type.shape.dim
        shape = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in dims]
        if shape and shape[0] <= 0:
            self.notes.append(f'input "{info.name}": the batch size is free; 1 is written')
            shape[0] = 1
        if not shape or min(shape) <= 0:
            listed = [dim.dim_value or dim.dim_param or "?" for dim in dims]
            raise NetError(
                f'input "{info.name}" has the shape {listed}; only the batch size may be free. '
                "Export the model with fixed sizes"
            )
        return tuple(shape)

    def _infer(self, protos: Sequence[onnx.NodeProto]) -> None:
        """Infer the shapes; large constants take part by their shapes only."""
        from onnx import helper, numpy_helper, shape_inference

        small = {k: x for k, x in self.constants.items() if x.size <= _LARGE}
        inputs = [
            helper.make_tensor_value_info(name, self.input_types[name], self.shapes[name])
            for name in self.inputs
        ]
        inputs += [
            helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for k, x in self.constants.items()
            if k not in small
        ]
        outputs = [x for x in self.model.graph.output if x.name not in self.constants]
        for output in outputs:
            output.type.tensor_type.ClearField("shape")
        constants = [numpy_helper.from_array(x, name) for name, x in small.items()]
        graph = helper.make_graph(protos, "shapes", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=self.model.opset_import)
        inferred = shape_inference.infer_shapes(model, data_prop=True).graph
        for info in (*inferred.value_info, *inferred.output):
            dims = info.type.tensor_type.shape.dim
            if info.type.tensor_type.HasField("shape") and all(
                x.HasField("dim_value") for x in dims
            ):
                self.shapes[info.name] = tuple(x.dim_value for x in dims)

    def _fold(self, proto: onnx.NodeProto) -> bool:
        """Compute a node whose inputs are constant, or that asks for a known shape."""
        if proto.op_type == "Shape" and proto.input[0] in self.shapes:
            attributes = _node_of(proto).attributes
            shape = self.shapes[proto.input[0]][attributes.get("start", 0) : attributes.get("end")]
            self.constants[proto.output[0]] = np.array(shape, np.int64)
            return True
        if any(name and name not in self.constants for name in proto.input):
            return False
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        feeds = {name: self.constants[name] for name in proto.input if name}
        types = {k: helper.np_dtype_to_tensor_dtype(x.dtype) for k, x in feeds.items()}
        inputs = [helper.make_tensor_value_info(k, types[k], x.shape) for k, x in feeds.items()]
        outputs = [helper.make_empty_tensor_value_info(name) for name in proto.output]
        graph = helper.make_graph([proto], "constant", inputs, outputs)
        model = helper.make_model(graph, opset_imports=self.model.opset_import)
        try:
            values = ReferenceEvaluator(model).run(None, feeds)
        except Exception as error:  # whatever an operator raises
            raise NetError(
                f"node {_named(proto)}: its constants cannot be computed ({error})"
            ) from None
        self.constants.update(zip(proto.output, map(np.asarray, values), strict=True))
        return True


def _node_of(proto: onnx.NodeProto) -> ModelNode:
    from onnx import AttributeProto, helper, numpy_helper

    attributes: dict[str, Any] = {}  # Any: as in ModelNode
    for attribute in proto.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.TENSOR:
            value = numpy_helper.to_array(value)
        attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
    name = proto.name or next(filter(None, proto.output), "")
    op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    return ModelNode(name, op, list(proto.input), list(proto.output), attributes)


def _named(proto: onnx.NodeProto) -> str:
    return f'"{proto.name or proto.output[0]}" ({proto.op_type})'


def read_onnx(path: str | Path) -> ModelGraph:
    """Read an ONNX file, with weights in further files if it has such.

    Raises
    ------
    NetError
        The file is missing, damaged or invalid, or its sizes are free.
    MissingPackage
        The package onnx is not installed.
    """
    onnx = require_onnx()
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, format="protobuf")  # whatever the extension is
        if not model.graph.node:
            raise NetError(f"{path}: has no nodes, so it is not an ONNX model")
        return ModelGraph(model)
    except FileNotFoundError as error:
        raise NetError(not_found(error.filename or path)) from None
    except DecodeError:
        raise NetError(f"{path}: cannot be read as ONNX; probably it is another file") from None
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise NetError(f"{path}: is not a valid ONNX model: {error}") from None
    except NetError as error:
        raise NetError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
