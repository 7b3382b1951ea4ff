"""Verification of an ONNX file: the same random input in minicaffe and in onnxruntime.

Some layers are sensitive: their results jump where two scores change places or an overlap passes a
threshold, or they magnify differences, as Softmax does with large values. Rounding alone would make
the results of such a layer differ. So its bottoms are compared, and minicaffe's layer then runs on
onnxruntime's values of them: each part of the net is compared on the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np

from minicaffe import log
from minicaffe.log import log_result
from minicaffe.net.net import Net
from minicaffe.onnx_export.free_sizes import ROWS
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
    """Return the largest differences of the outputs between minicaffe and onnxruntime.

    See `minicaffe.onnx_runtime.relative_difference`. The bottoms of sensitive layers are compared
    as well. Inputs are normally distributed with seed 0; indices, regions and sizes of images are
    drawn as such. Where activations are rounded to grids, values that differ by up to the largest
    step of these are counted in the log instead: sums in another order may be rounded to the
    neighbour.

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
        outputs = [name for name in graph.outputs if name not in inputs]
        watched = {name for values in graph.watched.values() for name in values if name}
        further = sorted(watched.difference(outputs, inputs))
        results = run_onnx(path, inputs, outputs, further)
        theirs = dict(zip([*outputs, *further], results, strict=True))
        for name, values in inputs.items():
            net.blobs[name].data.set(values)
        comparison = _Comparison(net, graph, theirs)
        net.before_forward.append(comparison.take_bottoms)
        net.forward()
        for blob in net.outputs:
            if blob.name in graph.outputs:
                comparison.add_output(blob.name, blob.data.get())
    return comparison.found


class _Comparison:
    """Differences by the names of outputs and of bottoms of sensitive layers."""

    def __init__(self, net: Net, graph: OnnxGraph, theirs: Mapping[str, HostArray]) -> None:
        self._net, self._graph, self._theirs = net, graph, theirs
        self.found: dict[str, float] = {}

    def add_output(self, name: str, ours: HostArray) -> None:
        """Compare an output; rows, whose columns have different meanings, column by column."""
        theirs = self._theirs[name]
        has_rows = ROWS.symbol in self._graph.free_axes.get(name, {}).values()
        if has_rows and theirs.shape == ours.shape and ours.size:
            columns = range(ours.shape[-1])
            pairs = ((theirs[..., k], ours[..., k]) for k in columns)
            self.found[name] = max(self._difference(name, *pair) for pair in pairs)
        else:
            self.found[name] = self._difference(name, theirs, ours)

    def take_bottoms(self, index: int) -> None:
        """Before a sensitive layer runs, compare its bottoms and replace them."""
        step = self._net.steps[index]
        names = self._graph.watched.get(step.layer.name, ())
        for blob, name in zip(step.bottom, names, strict=bool(names)):
            if name not in self._theirs:
                continue
            ours, theirs = blob.data.get(), self._theirs[name]
            if theirs.size == ours.size:
                theirs = theirs.reshape(ours.shape)
                blob.data.set(theirs)
            name = f'bottom "{blob.name}" of layer "{step.layer.name}"'
            self.found[name] = self._difference(name, theirs, ours)

    def _difference(self, name: str, theirs: HostArray, ours: HostArray) -> float:
        return _difference(name, theirs, ours, self._graph.coarsest_step)


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
        rule = graph.rules.get(blob.name)
        values[blob.name] = (
            random.standard_normal(blob.shape, np.float32)
            if rule is None
            else rule.draw(random, blob.shape)
        )
    return values
