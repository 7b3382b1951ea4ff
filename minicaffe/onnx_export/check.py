"""Verification of an ONNX file: the same random input in minicaffe and in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from minicaffe import log
from minicaffe.log import log_result
from minicaffe.net.net import Net
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.onnx_runtime import TOLERANCE, relative_difference, run_onnx
from minicaffe.ops.backend import HostArray
from minicaffe.schema import TEST, NetSource, NetState


def differences(
    path: str | Path,
    source: NetSource,
    graph: OnnxGraph,
    fill_weights: Callable[[Net], object],
    state: NetState | None = None,
) -> dict[str, float]:
    """Return the largest difference of each output between minicaffe and onnxruntime.

    See `minicaffe.onnx_runtime.relative_difference`. Inputs are normally distributed with seed 0,
    or whole numbers where the net needs indices. Where activations are rounded to grids, values
    that differ by up to the largest step of these are counted in the log instead: sums in another
    order may be rounded to the neighbour.

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
    theirs = run_onnx(path, inputs, list(ours))
    return {
        name: _difference(name, other, one, graph.coarsest_step)
        for (name, one), other in zip(ours.items(), theirs, strict=True)
    }


def _difference(name: str, found: HostArray, expected: HostArray, step: float) -> float:
    """Return the largest relative difference beyond a step of a grid, and log what is within."""
    if step and found.shape == expected.shape:
        scale = float(np.abs(expected).max(initial=0.0))
        distance = np.abs(found - expected)
        is_neighbour = (distance > TOLERANCE * scale) & (distance <= step * (1 + TOLERANCE))
        found = np.where(is_neighbour, expected, found)
        if n := np.count_nonzero(is_neighbour):
            share = f"{n} of {expected.size} values"
            log_result(f"{name}: {share} differ by up to one step of a grid, {step:g}")
    return relative_difference(found, expected)


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
