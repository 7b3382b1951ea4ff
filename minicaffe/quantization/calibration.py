"""Calibration: the magnitudes of activations over batches, in a net that computes in floats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from minicaffe.blob import Blob
from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.step import Step
from minicaffe.ops.backend import Backend, HostArray
from minicaffe.quantization.batches import RecordedBatches
from minicaffe.quantization.float_net import FloatNet, fed_net
from minicaffe.quantization.ranges import Magnitudes


@dataclass(frozen=True)
class LayerMagnitudes:
    """Magnitudes of the values that a layer reads, and of those that it computes.

    Those of the top are measured before layers in place, such as ReLU, change it. They are None if
    no other such layer reads what is computed from the top: scores stay in floats, because equal
    scores would say nothing.
    """

    bottom: Magnitudes
    top: Magnitudes | None


@dataclass(frozen=True)
class Calibration:
    """Magnitudes of activations.

    Attributes
    ----------
    layers : dict of str to LayerMagnitudes
        Of the layers that can be quantised, by name.
    blobs : dict of str to Magnitudes
        Of the blobs of the deployed net, by name, after the last layer that computes in place.
    """

    layers: dict[str, LayerMagnitudes]
    blobs: dict[str, Magnitudes]


@dataclass(frozen=True)
class _Observed:
    """Values to be measured as soon as a layer has run."""

    layer: int
    blobs: Sequence[Blob]


def calibrate(source: FloatNet, batches: RecordedBatches, n: int, backend: Backend) -> Calibration:
    """Measure the activations of a net over the first `n` batches.

    Parameters
    ----------
    source : FloatNet
    batches : RecordedBatches
    n : int
    backend : Backend

    Raises
    ------
    NetError
        If a value is not finite.
    """
    net = fed_net(source, source.fed.param, source.parameters, backend)
    names = [name for product in source.products.values() for name in product.names]
    layers = [net.layer_index(name) for name in names]
    observed = [
        *(_Observed(k, net.steps[k].bottom) for k in layers),
        *(_Observed(k, net.steps[k].top) for k in layers),
        *_deployed_blobs(net),
    ]
    with closing(net):
        largest = [0.0] * len(observed)

        def compare(index: int, values: HostArray) -> None:
            largest[index] = max(largest[index], float(np.abs(values).max(initial=0)))

        _observe(net, observed, batches.feed(net, n), compare)
        found = [Magnitudes(value) for value in largest]
        _observe(net, observed, batches.feed(net, n), lambda k, values: found[k].add(values))
    first = len(names)
    read = _read_later(net, layers)
    tops = [
        top if k in read else None for k, top in zip(layers, found[first : 2 * first], strict=True)
    ]
    blobs = zip(observed[2 * first :], found[2 * first :], strict=True)
    return Calibration(
        dict(zip(names, map(LayerMagnitudes, found[:first], tops), strict=True)),
        {one.blobs[0].name: magnitudes for one, magnitudes in blobs},
    )


def _read_later(net: Net, layers: Sequence[int]) -> set[int]:
    """Return those of some layers from whose tops bottoms of others of them are computed."""
    read: set[Blob] = set()
    found = set()
    for index in reversed(range(len(net.steps))):
        step = net.steps[index]
        leads_on = not read.isdisjoint(step.top)
        if leads_on and index in layers:
            found.add(index)
        if leads_on or index in layers:
            read.update(step.bottom)
    return found


def _observe(
    net: Net,
    observed: Sequence[_Observed],
    batches: Iterator[int],
    measure: Callable[[int, HostArray], None],
) -> None:
    """Run the net on batches and measure each observed blob when its layer has run."""
    by_layer: dict[int, list[tuple[int, Blob]]] = {}
    for index, one in enumerate(observed):
        by_layer.setdefault(one.layer, []).extend((index, blob) for blob in one.blobs)

    def measure_layer(layer: int) -> None:
        for index, blob in by_layer.get(layer, ()):
            values = blob.data.get()
            if not math.isfinite(float(np.sum(values))) and not np.isfinite(values).all():
                raise NetError(
                    f'{net.layers[layer].where}: blob "{blob.name}" has values that are not finite '
                    "in the calibration batches; see whether the weights are those of a training "
                    "that diverged"
                )
            measure(index, values)

    net.after_forward.append(measure_layer)
    for _ in batches:
        net.forward()
    net.after_forward.remove(measure_layer)


def _deployed_blobs(net: Net) -> Iterator[_Observed]:
    """Yield each blob of the deployed net with the last layer that writes it."""
    last: dict[Blob, int] = {}
    for index, step in enumerate(net.steps):
        if _is_deployed(step):
            tops = step.top[:1] if step.layer.is_filled_by_program else step.top
            last.update(dict.fromkeys(tops, index))
    for blob, index in last.items():
        yield _Observed(index, [blob])


def _is_deployed(step: Step) -> bool:
    layer = step.layer
    return not layer.copies_bottom and type(layer).deployed(layer.param) is layer.param
