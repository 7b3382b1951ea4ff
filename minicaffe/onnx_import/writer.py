"""The net that an import writes: layers, their weights, and which blob is which tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from minicaffe.errors import NetError
from minicaffe.onnx_import.dialects import Dialect
from minicaffe.onnx_import.graph import ModelGraph, ModelNode
from minicaffe.ops.backend import Shape
from minicaffe.schema import BlobShape, LayerBlobs, LayerParameter, NetParameter

Floats = npt.NDArray[np.float32]


class PendingPads(NamedTuple):
    """A Pad node that the next node takes in: its input, and the pads of each axis."""

    source: str
    before: list[int]
    after: list[int]


class NetWriter:
    """Adds layers for the nodes of a graph.

    Parameters
    ----------
    graph : ModelGraph
        The graph.
    dialect : Dialect
        What the reader of the files understands.
    dialect_name : str
        Its name, for messages.
    """

    def __init__(self, graph: ModelGraph, dialect: Dialect, dialect_name: str) -> None:
        self.graph = graph
        self.dialect = dialect
        self.dialect_name = dialect_name
        self.param = NetParameter(name=graph.model.graph.name)
        self.blobs: dict[str, list[Floats]] = {}
        self.paddings: dict[str, PendingPads] = {}
        self.node = ModelNode("", "", [], [], {})
        self._blob_of: dict[str, str] = {}
        self._tops: set[str] = set()
        self._names: set[str] = set()
        for name in graph.inputs:
            layer = self.param.layer.add(name=name, type="Input", top=[name])
            layer.input_param.shape.add(dim=graph.shapes[name])
            self._blob_of[name] = name
            self._tops.add(name)
            self._names.add(name)

    def refuse(self, reason: str) -> NoReturn:
        """Raise an error about the current node."""
        raise NetError(f'node "{self.node.name}" ({self.node.op}): {reason}')

    def require(self, condition: object, reason: str) -> None:
        """Raise an error about the current node unless the condition holds."""
        if not condition:
            self.refuse(reason)

    def shape(self, tensor: str) -> Shape:
        """Return the shape of a tensor."""
        if tensor in self.graph.constants:
            return self.graph.constants[tensor].shape
        if tensor not in self.graph.shapes:
            self.refuse(f'the shape of "{tensor}" depends on values; export with fixed sizes')
        return self.graph.shapes[tensor]

    def has(self, index: int) -> bool:
        """Return whether the current node has an input of this index."""
        return len(self.node.inputs) > index and self.node.inputs[index] != ""

    def constant_input(self, index: int) -> npt.NDArray[np.generic]:
        """Return the values of an input of the current node that must be constant."""
        name = self.node.inputs[index]
        self.require(
            name in self.graph.constants,
            f'input {index} ("{name}") is computed; a layer of Caffe needs a constant there',
        )
        return self.graph.constants[name]

    def floats(self, index: int) -> Floats:
        """Return the values of a constant input as float32."""
        return np.asarray(self.constant_input(index), np.float32)

    def integer_list(self, index: int, attribute: str) -> list[int] | None:
        """Return a list that old operators have as an attribute and new ones as an input."""
        if attribute in self.node.attributes:
            return [int(x) for x in self.node.attributes[attribute]]
        if not self.has(index):
            return None
        return [int(x) for x in np.asarray(self.constant_input(index), np.int64).ravel()]

    def is_constant(self, index: int) -> bool:
        """Return whether an input of the current node is constant."""
        return self.node.inputs[index] in self.graph.constants

    def bottom(self, tensor: str) -> str:
        """Return the blob of a tensor; refuse one that is constant, padded or unknown."""
        self.require(
            tensor not in self.paddings,
            f'its input "{tensor}" is padded; only convolutions and pooling have pads',
        )
        if tensor in self.graph.constants:
            self.refuse(f'input "{tensor}" is a constant; a layer of Caffe needs a blob there')
        self.require(tensor in self._blob_of, f'its input "{tensor}" is not computed in the graph')
        return self._blob_of[tensor]

    def alias(self, output: str, blob: str) -> None:
        """Let an output of the current node be a blob that exists."""
        if output in self.graph.outputs:
            self.add("Power", [blob], [self.top(output)])
        else:
            self._blob_of[output] = blob

    def top(self, tensor: str) -> str:
        """Return the blob for an output of a node, named like it."""
        self._blob_of[tensor] = self._fresh(tensor, self._tops)
        return self._blob_of[tensor]

    def temporary(self, suffix: str) -> str:
        """Return a new blob for a value between two layers of the current node."""
        return self._fresh(f"{self.node.outputs[0]}_{suffix}", self._tops)

    def add(
        self,
        kind: str,
        bottoms: Sequence[str],
        tops: Sequence[str],
        blobs: Iterable[npt.ArrayLike] = (),
        suffix: str = "",
    ) -> LayerParameter:
        """Add a layer for the current node.

        Parameters
        ----------
        kind : str
            The type of layer.
        bottoms, tops : sequence of str
            Blobs.
        blobs : iterable of array_like
            Its parameters.
        suffix : str
            What is appended to the node's name.
        """
        base = f"{self.node.name}_{suffix}" if suffix else self.node.name
        name = self._fresh(base, self._names)
        arrays = [np.array(blob, np.float32) for blob in blobs]
        if arrays:
            self.blobs[name] = arrays
        return self.param.layer.add(name=name, type=kind, bottom=bottoms, top=tops)

    def reshape(self, source: str, target: str, old: Shape, new: Shape) -> None:
        """Add a layer that gives a blob another shape."""
        if len(old) > 1 and new == (old[0], int(np.prod(old[1:]))):
            self.add("Flatten", [source], [target])
            return
        # 0 keeps the batch size, whatever it is.
        dims = [0, *new[1:]] if new and new[0] == old[0] else [*new]
        layer = self.add("Reshape", [source], [target], suffix="reshape")
        layer.reshape_param.shape.CopyFrom(BlobShape(dim=dims))

    def weights(self) -> list[LayerBlobs]:
        """Return the weights of all layers that have some."""
        return [
            LayerBlobs(layer.name, layer.type, self.blobs.get(layer.name, []))
            for layer in self.param.layer
        ]

    def _fresh(self, name: str, taken: set[str]) -> str:
        found, k = name, 1
        while found in taken:
            k += 1
            found = f"{name}_{k}"
        taken.add(found)
        return found
