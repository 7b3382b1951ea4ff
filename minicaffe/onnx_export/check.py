"""Verification of an ONNX file: the same random input in minicaffe and in onnxruntime.

Some layers are sensitive: their results jump where two scores change places or an overlap passes a
threshold, or they magnify differences, as Softmax does with large values. Rounding alone would make
the results of such a layer differ. So its bottoms are compared, and minicaffe's layer then runs on
onnxruntime's values of them: each part of the net is compared on the same input. Very large or
small values, such as random weights make, would say little: a Softmax of them is 0 and 1. Where the
meaning of the bottoms allows it, both run on scaled ones instead.

Even so, a candidate of thousands may be on the other side of a threshold because of rounding: a net
that selects rows is drawn anew if they differ, but not more than twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from minicaffe import log
from minicaffe.blob import Blob
from minicaffe.log import log_result
from minicaffe.net.net import Net
from minicaffe.onnx_export.free_sizes import ROWS
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.onnx_runtime import TOLERANCE, Replacement, relative_difference, run_onnx
from minicaffe.ops.backend import HostArray
from minicaffe.schema import TEST, NetSource, NetState

# The root mean squares between which values say something, and what others are scaled to.
_SMALLEST, _LARGEST, _ORDINARY = 0.01, 10.0, 2.0
# How many places rows of equal scores may be apart.
_NEIGHBOURS = 4
# How often a net is run whose number of rows depends on values.
_MOST_DRAWS = 3


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
    found: dict[str, float] = {}
    with closing(net):
        fill_weights(net)
        for seed in range(_MOST_DRAWS if graph.has_free_rows else 1):
            found = _Comparison(path, net, graph, seed).run()
            if all(difference <= TOLERANCE for difference in found.values()):
                break
    return found


class _Comparison:
    """Runs the file, and finds differences of outputs and of bottoms of sensitive layers.

    Attributes
    ----------
    found : dict of str to float
    """

    def __init__(self, path: str | Path, net: Net, graph: OnnxGraph, seed: int) -> None:
        self._net, self._graph = net, graph
        self.found: dict[str, float] = {}
        self._kept: list[tuple[Blob, HostArray]] = []
        inputs = _draw(net, graph, seed)
        for name, values in inputs.items():
            net.blobs[name].data.set(values)
        outputs = [name for name in graph.outputs if name not in inputs]
        watched = {name for each in graph.watched.values() for names in each for name in names}
        further = sorted(watched.difference(outputs, inputs))

        def results(changes: Sequence[Replacement] = ()) -> dict[str, HostArray]:
            values = run_onnx(path, inputs, outputs, further, changes)
            return dict(zip([*outputs, *further], values, strict=True))

        self._theirs = results()
        self._changes = self._replacements()
        if self._changes:
            self._theirs = results(list(self._changes.values()))

    def run(self) -> dict[str, float]:
        """Run the net and return the differences."""
        net = self._net
        net.before_forward, net.after_forward = [self._take_bottoms], [self._return_bottoms]
        net.forward()
        for blob in net.outputs:
            if blob.name in self._graph.outputs:
                self._compare(blob.name, blob.data.get(), self._theirs[blob.name])
        return self.found

    def _take_bottoms(self, index: int) -> None:
        """Before a sensitive layer runs, compare its bottoms and replace them."""
        step = self._net.steps[index]
        layer, watched = step.layer.name, self._graph.watched.get(step.layer.name, [])
        for blob, names in zip(step.bottom, watched, strict=bool(watched)):
            name = min(names.intersection(self._theirs), default="")
            if not name:
                continue
            ours, theirs = blob.data.get(), self._theirs[name]
            if theirs.size == ours.size:
                theirs = theirs.reshape(ours.shape)
                change = self._changes.get((layer, name))
                given = theirs if change is None else change.values.reshape(ours.shape)
                blob.data.set(given)
                self._kept.append((blob, ours))
            self._compare(f'bottom "{blob.name}" of layer "{layer}"', ours, theirs)

    def _compare(self, name: str, ours: HostArray, theirs: HostArray) -> None:
        has_rows = ROWS.symbol in self._graph.free_axes.get(name, {}).values()
        if has_rows:
            self.found[name] = _difference_of_rows(theirs, ours)
        elif step := self._graph.coarsest_step:
            self.found[name] = _difference_on_grid(name, theirs, ours, step)
        else:
            self.found[name] = relative_difference(theirs, ours)

    def _return_bottoms(self, index: int) -> None:
        """After the layer has run, give others the values that they had."""
        for blob, values in self._kept:
            if blob not in self._net.steps[index].top:
                blob.data.set(values)
        self._kept.clear()

    def _replacements(self) -> dict[tuple[str, str], Replacement]:
        """Return scaled values for large and small bottoms of layers that magnify differences."""
        found: dict[tuple[str, str], Replacement] = {}
        for layer in sorted(self._graph.magnifying & self._graph.watched.keys()):
            readers = {node.outputs[0] for node in self._graph.nodes if node.layer == layer}
            for name in set().union(*self._graph.watched[layer]).intersection(self._theirs):
                values = self._theirs[name]
                size = float(
                    np.sqrt(np.mean(np.square(values, dtype=np.float64)) if values.size else 0)
                )
                if 0 < size < _SMALLEST or _LARGEST < size < np.inf:
                    scaled = (values * (_ORDINARY / size)).astype(values.dtype)
                    found[layer, name] = Replacement(name, readers, scaled)
        return found


def _difference_on_grid(name: str, theirs: HostArray, ours: HostArray, step: float) -> float:
    """Return the largest relative difference beyond a step of a grid, and log what is within."""
    if theirs.shape != ours.shape:
        return relative_difference(theirs, ours)
    distance, scale = np.abs(theirs - ours), float(np.abs(ours).max(initial=0.0))
    is_neighbour = (distance > TOLERANCE * scale) & (distance <= step * (1 + TOLERANCE))
    if n := np.count_nonzero(is_neighbour):
        share = f"{n} of {ours.size} values"
        log_result(f"{name}: {share} differ by up to one step of a grid, {step:g}")
    return relative_difference(np.where(is_neighbour, ours, theirs), ours)


def _difference_of_rows(theirs: HostArray, ours: HostArray) -> float:
    """Return the largest difference of rows, relative to the largest magnitude of each column.

    Neighbours whose scores are equal but for rounding may have changed places.
    """
    if theirs.shape != ours.shape or not ours.size:
        return relative_difference(theirs, ours)
    a, b = (array.reshape(-1, array.shape[-1]).astype(np.float64) for array in (theirs, ours))
    scale = np.abs(np.where(np.isfinite(b), b, 0)).max(0)
    limit = TOLERANCE * np.where(scale > 0, scale, 1)
    for k in range(len(a)):
        others = b[k : k + _NEIGHBOURS + 1]
        same = np.flatnonzero((np.abs(others - a[k]) <= limit).all(1))
        if len(same) and same[0]:
            others[[0, same[0]]] = others[[same[0], 0]]
    return max(relative_difference(a[:, k], b[:, k]) for k in range(a.shape[1]))


def _draw(net: Net, graph: OnnxGraph, seed: int) -> dict[str, HostArray]:
    random = np.random.default_rng(seed)
    values: dict[str, HostArray] = {}
    for blob in net.inputs:
        rule = graph.rules.get(blob.name)
        values[blob.name] = (
            random.standard_normal(blob.shape, np.float32)
            if rule is None
            else rule.sample_values(random, blob.shape)
        )
    return values
