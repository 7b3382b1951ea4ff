"""Folding of normalisations, factors and summands into the convolution before them."""

from __future__ import annotations

from collections import Counter
from typing import cast

import numpy as np

from minicaffe.onnx_export.graph import OnnxGraph, OnnxNode
from minicaffe.ops.backend import HostArray


def fold_graph(graph: OnnxGraph) -> None:
    """Fold what is linear and constant into Conv and Gemm nodes that nothing else reads."""
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    kept: list[OnnxNode] = []
    made: dict[str, OnnxNode] = {}
    for node in graph.nodes:
        source = made.get(node.inputs[0]) if node.inputs else None
        if source is not None and _is_own(graph, source, readers):
            linear = _linear(graph, node, source)
            if linear is not None:
                _apply(graph, source, *linear)
                del made[node.inputs[0]]
                source.outputs = node.outputs
                made[node.outputs[0]] = source
                continue
        kept.append(node)
        if node.kind in ("Conv", "Gemm"):
            made[node.outputs[0]] = node
    graph.nodes = kept
    read = {name for node in kept for name in node.inputs} | set(graph.outputs)
    graph.constants = {name: array for name, array in graph.constants.items() if name in read}


def _is_own(graph: OnnxGraph, source: OnnxNode, readers: Counter[str]) -> bool:
    """Return whether only the next node reads the result, and only `source` its free weights."""
    is_constant = all(
        name in graph.constants and name not in graph.fixed for name in source.inputs[1:]
    )
    is_single = all(readers[name] <= 1 for name in (*source.inputs[1:], source.outputs[0]))
    return is_constant and is_single and source.outputs[0] not in graph.outputs


def _linear(
    graph: OnnxGraph, node: OnnxNode, source: OnnxNode
) -> tuple[HostArray, HostArray] | None:
    """Return factor and summand for each channel, if the node is such a function."""
    weights = graph.constants[source.inputs[1]]
    is_gemm = source.kind == "Gemm"
    n = weights.shape[0 if not is_gemm or source.attributes["transB"] else 1]
    if node.kind == "BatchNormalization":
        scale, bias, mean, variance = (
            graph.constants[name].astype(np.float64) for name in node.inputs[1:]
        )
        eps = cast(float, node.attributes["epsilon"])
        factor = scale / np.sqrt(variance + eps)
        return factor, bias - mean * factor
    if node.kind not in ("Mul", "Add") or node.inputs[1] not in graph.constants:
        return None
    values = graph.constants[node.inputs[1]].astype(np.float64)
    n_after = 0 if is_gemm else weights.ndim - 2
    if values.size != 1 and values.shape[-1 - n_after :] != (n, *(1,) * n_after):
        return None
    if values.size not in (1, n) or values.ndim > n_after + 2:
        return None
    each = np.broadcast_to(values.reshape(-1), n)
    return (each, np.zeros(n)) if node.kind == "Mul" else (np.ones(n), each)


def _apply(graph: OnnxGraph, source: OnnxNode, factor: HostArray, summand: HostArray) -> None:
    """Change weights and bias of a node, in float64."""
    weights = graph.constants[source.inputs[1]].astype(np.float64)
    if source.kind == "Gemm" and not source.attributes["transB"]:
        weights *= factor
    else:
        weights *= factor.reshape(-1, *(1,) * (weights.ndim - 1))
    graph.constants[source.inputs[1]] = weights.astype(np.float32)
    bias = graph.constants[source.inputs[2]] if len(source.inputs) > 2 else np.zeros(factor.size)
    bias = (bias.astype(np.float64) * factor + summand).astype(np.float32)
    if len(source.inputs) > 2:
        graph.constants[source.inputs[2]] = bias
    else:
        graph.layer = source.layer
        source.inputs.append(graph.constant(bias, f"{source.layer}/bias"))
