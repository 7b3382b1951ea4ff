"""Sizes that are known when the graph runs: two traces with different sizes show where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicaffe.errors import NetError
from minicaffe.onnx_export.graph import OnnxGraph, OnnxNode
from minicaffe.ops.backend import HostArray


@dataclass(frozen=True)
class FreeSize:
    """A size that is not fixed in the file.

    Parameters
    ----------
    symbol : str
        Its name in the file.
    noun : str
        What it counts, for messages.
    failure : str
        How a message begins if something else than a shape depends on it.
    advice : str
        What to do then.
    """

    symbol: str
    noun: str
    failure: str
    advice: str


BATCH = FreeSize("N", "number of samples", "--batch dynamic is not possible", "Give a number.")
ROWS = FreeSize(
    "M",
    "number of rows that an earlier layer finds",
    "it cannot be exported to ONNX",
    "Cut the net before it.",
)


def free_size(graph: OnnxGraph, other: OnnxGraph, size: FreeSize) -> None:
    """Change the shapes in `graph` that depend on a size, so that it serves for every size.

    Parameters
    ----------
    graph, other : OnnxGraph
        The same net traced with two sizes.
    size : FreeSize
        Which size differs.

    Raises
    ------
    NetError
        If something else than the shape of a Reshape depends on the size; names the layer.
    """
    if len(graph.nodes) != len(other.nodes):
        raise NetError(
            f"{size.failure}, because the number of nodes depends on the {size.noun}, as a layer "
            f"is unrolled along its first axis. {size.advice}"
        )
    for one, two in zip(graph.nodes, other.nodes, strict=True):
        _require(one.kind == two.kind and one.attributes == two.attributes, one, size)
        for k, (a, b) in enumerate(zip(one.inputs, two.inputs, strict=True)):
            first, second = graph.constants.get(a), other.constants.get(b)
            if first is None or second is None or _are_equal(first, second):
                continue
            _require(one.kind == "Reshape" and k == 1, one, size)
            graph.constants[a] = _freed(first, second, one, size)
    for mine, others in ((graph.inputs, other.inputs), (graph.outputs, other.outputs)):
        for name, shape in mine.items():
            for axis, (n, m) in enumerate(zip(shape, others[name], strict=True)):
                if n != m:
                    graph.free_axes.setdefault(name, {})[axis] = size.symbol


def _are_equal(one: HostArray, two: HostArray) -> bool:
    if one.shape != two.shape:
        return False
    is_shared = one.ctypes.data == two.ctypes.data and one.strides == two.strides
    return is_shared or np.array_equal(one, two, equal_nan=one.dtype.kind == "f")


def _freed(shape: HostArray, other: HostArray, node: OnnxNode, size: FreeSize) -> HostArray:
    """Return the shape with -1 for the size that differs; where it is -1, another one is free."""
    _require(shape.shape == other.shape, node, size)
    differs = np.flatnonzero((shape != other) & (shape != -1))
    if not len(differs):
        return shape
    _require(len(differs) == 1 and not (shape < 0).any(), node, size)
    free = shape.copy()
    free[differs[0]] = -1
    return free


def _require(ok: bool, node: OnnxNode, size: FreeSize) -> None:
    if not ok:
        raise NetError(
            f'layer "{node.layer}": {size.failure}, because its {node.kind} depends on the '
            f"{size.noun}. {size.advice}"
        )
