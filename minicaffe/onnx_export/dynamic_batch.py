"""A free number of samples: two traces with different batches show what depends on it."""

from __future__ import annotations

import numpy as np

from minicaffe.errors import NetError
from minicaffe.onnx_export.graph import OnnxGraph, OnnxNode
from minicaffe.ops.backend import HostArray


def free_batch(graph: OnnxGraph, other: OnnxGraph) -> None:
    """Change the shapes in `graph` that depend on the batch, so that it serves for every batch.

    Parameters
    ----------
    graph, other : OnnxGraph
        The same net traced with two batches.

    Raises
    ------
    NetError
        If something else than the shape of a Reshape depends on the batch; names the layer.
    """
    if len(graph.nodes) != len(other.nodes):
        raise NetError(
            "--batch dynamic: the number of nodes depends on the batch, as a layer is unrolled "
            "along its first axis. Give a number."
        )
    for one, two in zip(graph.nodes, other.nodes, strict=True):
        _require(one.kind == two.kind and one.attributes == two.attributes, one)
        for k, (a, b) in enumerate(zip(one.inputs, two.inputs, strict=True)):
            first, second = graph.constants.get(a), other.constants.get(b)
            if first is None or second is None or _are_equal(first, second):
                continue
            _require(one.kind == "Reshape" and k == 1, one)
            graph.constants[a] = _free(first, second, one)


def _are_equal(one: HostArray, two: HostArray) -> bool:
    if one.shape != two.shape:
        return False
    is_shared = one.ctypes.data == two.ctypes.data and one.strides == two.strides
    return is_shared or np.array_equal(one, two, equal_nan=one.dtype.kind == "f")


def _free(shape: HostArray, other: HostArray, node: OnnxNode) -> HostArray:
    """Return the shape with -1 for the size that depends on the batch."""
    differs = np.flatnonzero(shape != other) if shape.shape == other.shape else np.zeros(2)
    _require(len(differs) == 1 and not (shape < 0).any(), node)
    free = shape.copy()
    free[differs[0]] = -1
    return free


def _require(ok: bool, node: OnnxNode) -> None:
    if not ok:
        raise NetError(
            f'layer "{node.layer}": --batch dynamic is not possible, because its {node.kind} '
            "depends on the number of samples. Give a number."
        )
