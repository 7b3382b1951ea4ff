"""The graph that an export collects: nodes, constants, and names of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from minicaffe.onnx_export.drawn_inputs import InputRule, WholeNumbers
from minicaffe.ops.backend import HostArray, Shape

# What an attribute of a node may be.
Attribute: TypeAlias = "int | float | str | Sequence[int] | Sequence[float] | OnnxGraph"


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
    n_rows : int
        The number of rows to assume where it depends on values.
    coarsest_step : float
        The largest step of the grids that activations are rounded to; 0 if none is rounded.
    has_free_rows : bool
        Whether the number of rows of a value depends on values.
    free_axes : dict of str to dict
        For inputs and outputs: the names of axes whose size is free.
    rules : dict of str to InputRule
        What inputs hold that are not any numbers.
    sensitive : set of str
        Layers whose results jump, or change much, with small changes of their bottoms.
    magnifying : set of str
        Those of them whose bottoms may be scaled for a comparison.
    watched : dict of str to list of set
        For these layers: the values that they read of each bottom.
    """

    opset: int
    n_rows: int = 1
    layer: str = ""
    nodes: list[OnnxNode] = field(default_factory=list)
    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, HostArray] = field(default_factory=dict)
    coarsest_step: float = 0.0
    has_free_rows: bool = False
    free_axes: dict[str, dict[int, str]] = field(default_factory=dict)
    rules: dict[str, InputRule] = field(default_factory=dict)
    sensitive: set[str] = field(default_factory=set)
    magnifying: set[str] = field(default_factory=set)
    watched: dict[str, list[set[str]]] = field(default_factory=dict)
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

    def integers(self, values: npt.ArrayLike) -> str:
        """Add an initializer of int64."""
        return self.constant(np.asarray(values, np.int64))

    def reals(self, values: npt.ArrayLike) -> str:
        """Add an initializer of float32."""
        return self.constant(np.asarray(values, np.float32))

    def expect(self, name: str, rule: InputRule) -> None:
        """Say what a value holds, if it is an input; of several limits, the smallest counts."""
        if name not in self.inputs:
            return
        known = self.rules.get(name)
        if isinstance(rule, WholeNumbers) and isinstance(known, WholeNumbers):
            rule = min(rule, known)
        self.rules[name] = rule

    def free_rows(self) -> int:
        """Return the number of rows to assume for a value whose rows depend on values."""
        self.has_free_rows = True
        return self.n_rows

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
        return value if factor == 1 else self.one("Mul", value, self.reals(factor))

    def plus(self, value: str, summand: float) -> str:
        """Return the sum with a number, the value itself for 0."""
        return value if summand == 0 else self.one("Add", value, self.reals(summand))

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

    def reduce(self, kind: str, value: str, axes: Sequence[int], keepdims: bool = False) -> str:
        """Return ReduceSum, ReduceMean, ReduceMax or another reduction over axes."""
        first_with_input = 13 if kind == "ReduceSum" else 18
        if self.opset < first_with_input:
            return self.one(kind, value, axes=list(axes), keepdims=int(keepdims))
        return self.one(kind, value, self.integers(axes), keepdims=int(keepdims))

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Return consecutive parts along an axis."""
        if self.opset < 13:
            return self.add("Split", value, n=len(sizes), axis=axis, split=list(sizes))
        return self.add("Split", value, self.integers(sizes), n=len(sizes), axis=axis)

    def joined(self, values: Sequence[str], axis: int) -> str:
        """Return the values joined along an axis, a single one as it is."""
        return values[0] if len(values) == 1 else self.one("Concat", *values, axis=axis)

    def samples(self, value: str) -> str:
        """Return 0, 1, ... as int64, one number for each index of a value's first axis."""
        size = self.one("Gather", self.one("Shape", value), self.integers(0))
        return self.one("Range", self.integers(0), size, self.integers(1))

    def filled(self, number: float, value: str) -> str:
        """Return an array of one number with the shape of a value."""
        return self.one("Expand", self.reals(number), self.one("Shape", value))

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
        self.watched = {
            layer: [{names.get(name, name) for name in values} for values in bottoms]
            for layer, bottoms in self.watched.items()
        }
