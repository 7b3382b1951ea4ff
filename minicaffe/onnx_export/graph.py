"""The graph that an export collects: nodes, constants, and names of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from minicaffe.ops.backend import HostArray, Shape

# What an attribute of a node may be.
Attribute: TypeAlias = int | float | str | Sequence[int] | Sequence[float]


@dataclass
class OnnxNode:
    """A node of the graph.

    Parameters
    ----------
    kind : str
        The ONNX operator.
    inputs, outputs : list of str
        Names of values; "" for an optional input that is not given.
    attributes : dict
    layer : str
        The layer that the node belongs to, for messages.
    """

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Attribute]
    layer: str


@dataclass
class OnnxGraph:
    """Nodes in the order in which they run, and what they read.

    Attributes
    ----------
    opset : int
        The version of the ONNX operators.
    layer : str
        The layer that nodes are added for now.
    inputs : dict of str to tuple
        Shapes of the inputs of the graph.
    outputs : dict of str to tuple
        Shapes of the outputs of the graph.
    constants : dict of str to ndarray
        Values of initializers.
    fixed : set of str
        Constants that must keep their values, because these are on a grid.
    coarsest_step : float
        The largest step of the grids that activations are rounded to; 0 if none is rounded.
    limits : dict of str to int
        For each input that holds whole numbers: the first number that is too large.
    has_free_rows : bool
        Whether the first axis of outputs depends on values.
    """

    opset: int
    layer: str = ""
    nodes: list[OnnxNode] = field(default_factory=list)
    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, HostArray] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    coarsest_step: float = 0.0
    limits: dict[str, int] = field(default_factory=dict)
    has_free_rows: bool = False
    taken: set[str] = field(default_factory=set)

    def unique(self, name: str) -> str:
        """Return `name`, or with a number behind it if it is taken, and take it."""
        found, k = name, 1
        while found in self.taken:
            k += 1
            found = f"{name}_{k}"
        self.taken.add(found)
        return found

    def constant(self, values: npt.ArrayLike, name: str = "constant") -> str:
        """Add an initializer and return its name; floats are stored as float32."""
        array = np.asarray(values)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        found = self.unique(f"{self.layer}/{name}" if name == "constant" else name)
        self.constants[found] = array
        return found

    def integers(self, values: Sequence[int]) -> str:
        """Add an initializer of int64."""
        return self.constant(np.asarray(values, np.int64))

    def add(self, kind: str, *inputs: str, n: int = 1, **attributes: Attribute) -> list[str]:
        """Add a node with `n` outputs and return their names."""
        outputs = [self.unique(f"{self.layer}/{kind}") for _ in range(n)]
        self.nodes.append(OnnxNode(kind, list(inputs), outputs, attributes, self.layer))
        return outputs

    def one(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """Add a node with one output and return its name."""
        return self.add(kind, *inputs, n=1, **attributes)[0]

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """Return the value in another shape; 0 keeps the size of an axis."""
        return self.one("Reshape", value, self.integers(shape))

    def times(self, value: str, factor: float) -> str:
        """Return the product with a number, the value itself for 1."""
        return value if factor == 1 else self.one("Mul", value, self.constant(np.float32(factor)))

    def plus(self, value: str, summand: float) -> str:
        """Return the sum with a number, the value itself for 0."""
        return value if summand == 0 else self.one("Add", value, self.constant(np.float32(summand)))

    def squeeze(self, value: str, axes: Sequence[int]) -> str:
        """Return the value without axes of size 1."""
        if self.opset < 13:
            return self.one("Squeeze", value, axes=list(axes))
        return self.one("Squeeze", value, self.integers(axes))

    def unsqueeze(self, value: str, axes: Sequence[int]) -> str:
        """Return the value with further axes of size 1."""
        if self.opset < 13:
            return self.one("Unsqueeze", value, axes=list(axes))
        return self.one("Unsqueeze", value, self.integers(axes))

    def reduce(self, kind: str, value: str, axes: Sequence[int], keepdims: bool) -> str:
        """Return ReduceSum, ReduceMean, ReduceL1 or ReduceSumSquare over axes."""
        first_with_input = 13 if kind == "ReduceSum" else 18
        if self.opset < first_with_input:
            return self.one(kind, value, axes=list(axes), keepdims=int(keepdims))
        return self.one(kind, value, self.integers(axes), keepdims=int(keepdims))

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Return consecutive parts along an axis."""
        if self.opset < 13:
            return self.add("Split", value, n=len(sizes), axis=axis, split=list(sizes))
        return self.add("Split", value, self.integers(sizes), n=len(sizes), axis=axis)

    def slice(
        self, value: str, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int]
    ) -> str:
        """Return a block of the value."""
        return self.one("Slice", value, *map(self.integers, (starts, ends, axes)))

    def resize(
        self, value: str, scales: Sequence[float], sizes: Sequence[int], **attributes: Attribute
    ) -> str:
        """Return resized images, by factors or, if there are none, to sizes."""
        # From opset 13 on an input may be left out; before, it is an empty array.
        nothing = "" if self.opset >= 13 else self.constant(np.zeros(0, np.float32))
        factors = self.constant(np.asarray(scales, np.float32)) if scales else nothing
        target = () if scales else (self.integers(sizes),)
        return self.one("Resize", value, nothing, factors, *target, **attributes)

    def rename(self, names: dict[str, str]) -> None:
        """Give values other names, everywhere."""
        for node in self.nodes:
            node.inputs = [names.get(name, name) for name in node.inputs]
            node.outputs = [names.get(name, name) for name in node.outputs]
        self.constants = {names.get(name, name): array for name, array in self.constants.items()}
