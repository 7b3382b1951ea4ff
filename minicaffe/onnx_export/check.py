"""Verification of an ONNX file: the same random input in minicaffe and in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from minicaffe import log
from minicaffe.errors import MissingPackage
from minicaffe.net.net import Net
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.ops.backend import HostArray
from minicaffe.schema import TEST, NetSource, NetState

# The largest difference that counts as equal, relative to the largest value of an output.
TOLERANCE = 1e-4


def differences(
    path: str | Path,
    source: NetSource,
    graph: OnnxGraph,
    fill_weights: Callable[[Net], object],
    state: NetState | None = None,
) -> dict[str, float]:
    """Return the largest difference of each output between minicaffe and onnxruntime.

    A difference is relative to the largest absolute value of the output, at least 1; infinity if
    shapes differ. Inputs are normally distributed with seed 0, or whole numbers where the net needs
    indices.

    Parameters
    ----------
    path : str or Path
        The ONNX file.
    source, graph
        As `export_net` returns them.
    fill_weights : callable
        Writes the parameters of the net that it is given.
    state : NetState, optional
        Level and stages for rules of layers.

    Raises
    ------
    MissingPackage
        If package onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackage(
            f"--check needs package onnxruntime ({error}). Install it with: "
            "pip install 'minicaffe[onnx]'"
        ) from error
    state = state or NetState()
    state.phase = TEST
    with log.suppress_info():
        net = Net(source, state, seed=0)
    with closing(net):
        fill_weights(net)
        inputs = _draw(net, graph)
        for name, values in inputs.items():
            net.blobs[name].data.set(values)
        net.forward()
        ours = {blob.name: blob.data.get() for blob in net.outputs if blob.name in graph.outputs}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    read = {one.name for one in session.get_inputs()}
    theirs = session.run(list(ours), {k: v for k, v in inputs.items() if k in read})
    return {
        name: _difference(one, other)
        for (name, one), other in zip(ours.items(), theirs, strict=True)
    }


def _draw(net: Net, graph: OnnxGraph) -> dict[str, HostArray]:
    random = np.random.default_rng(0)
    values: dict[str, HostArray] = {}
    for blob in net.inputs:
        limit = graph.limits.get(blob.name)
        values[blob.name] = (
            random.standard_normal(blob.shape, np.float32)
            if limit is None
            else random.integers(0, limit, blob.shape).astype(np.float32)
        )
    return values


def _difference(one: HostArray, other: HostArray) -> float:
    if one.shape != other.shape:
        return float("inf")
    if not one.size:
        return 0.0
    is_same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        gaps = np.where(is_same, 0.0, np.abs(one - other))
    scale = max(1.0, float(np.abs(one[np.isfinite(one)]).max(initial=0)))
    largest = float(gaps.max()) / scale
    return largest if largest == largest else float("inf")
