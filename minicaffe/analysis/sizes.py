"""Sizes of a net: shapes, parameters, multiply-adds and memory of each layer.

The net is built with constants for weights, which is fast even for large nets. If a data source is
missing, the shapes of its batches are taken from the settings of the layer, if they suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from minicaffe import log
from minicaffe.errors import MinicaffeError
from minicaffe.layers import LAYERS
from minicaffe.layers.dummy_data import make_dummy
from minicaffe.net.builder import BYTES_PER_VALUE
from minicaffe.net.include_rules import filter_layers
from minicaffe.net.net import Net
from minicaffe.net.step import Step
from minicaffe.ops.backend import Shape
from minicaffe.schema import FillerParameter, LayerParameter, NetSource, NetState

# A net to try, and the shapes assumed in it by index of the layer.
Attempt: TypeAlias = tuple[NetSource, dict[int, Shape]]
_MOST_FAULTS = 10


@dataclass(frozen=True)
class LayerSizes:
    """The size of one layer.

    Attributes
    ----------
    bottoms, tops : list of tuple of int
        Shapes.
    parameters : int
        Number of learned values; 0 for those that an earlier layer of the net owns.
    multiply_adds : int
        Of one forward pass of the whole batch. Counts products with matrices of weights
        (convolutions, inner products, recurrent layers); those of other layers are negligible.
    memory_bytes : int
        Of the values of the tops, except those computed in place.
    """

    bottoms: list[Shape]
    tops: list[Shape]
    parameters: int
    multiply_adds: int
    memory_bytes: int


@dataclass
class NetSizes:
    """The sizes of a net.

    Attributes
    ----------
    layers : dict of int to LayerSizes
        By index in the net's source; only layers of the phase that was measured.
    batch : int
        Samples in a batch: the first axis of the first blob.
    assumed : dict of str to tuple of int
        Shapes assumed for the layers whose data source is missing.
    problem : str
        The reasons why the net could not be built, one per line; "" if it could. `layers` are then
        those that do not depend on the layers at fault.
    """

    layers: dict[int, LayerSizes] = field(default_factory=dict)
    batch: int = 1
    assumed: dict[str, Shape] = field(default_factory=dict)
    problem: str = ""

    def notes(self) -> list[str]:
        """Return sentences about assumed shapes, and why other shapes are unknown."""
        found = []
        if self.problem:
            what = "some shapes" if self.layers else "shapes"
            found.append(f"{what} are left out: {self.problem}")
        for name, shape in self.assumed.items():
            text = " x ".join(map(str, shape))
            found.append(f'layer "{name}": its data does not exist; assuming batches of {text}')
        return found


def measure(
    source: NetSource, state: NetState, image: Shape = (), reads_data: bool = True
) -> NetSizes:
    """Measure a net; if it cannot be built, `problem` of the result gives the reasons.

    Parameters
    ----------
    source : NetSource
    state : NetState
        Phase, level and stages to build it for.
    image : tuple of int
        Channels, rows and columns of images whose source is missing; by default colour images of
        the size that the data layer crops to.
    reads_data : bool
        Whether to look at data that exists, before shapes are taken from the settings.
    """
    plain = _without_fillers(source)
    problems: dict[str, None] = {}
    attempts = [plain] if reads_data else []
    attempts.append(_without_sources(plain, image))
    with log.suppress_repeated_warnings():
        for attempt in attempts:
            try:
                return _measured(attempt, state, range(len(attempt[0].param.layer)))
            except MinicaffeError as error:
                problems.update(dict.fromkeys(str(error).splitlines()))
        sizes = _measured_without_faults(attempts[-1], state)
    if sizes.layers:
        problems.update(dict.fromkeys(sizes.problem.splitlines()))
    sizes.problem = "\n".join(problems)
    return sizes


def _measured_without_faults(attempt: Attempt, state: NetState) -> NetSizes:
    """Measure the layers that can be built, without those at fault and those that need them.

    The first layer at fault is found by bisection, because the layers before it can be built. The
    layers behind `_MOST_FAULTS` of them are left out: each costs a number of builds.
    """
    layers = attempt[0].param.layer
    kept = list(range(len(layers)))
    problems: list[str] = []
    sizes, good = NetSizes(), 0
    while good < len(kept) and len(problems) < _MOST_FAULTS:
        low, high, reason = good, len(kept), ""
        while low < high:
            middle = (low + high + 1) // 2
            try:
                sizes, low = _measured(attempt, state, kept[:middle]), middle
            except MinicaffeError as error:
                high, reason = middle - 1, str(error)
        problems += [reason] if reason else []
        kept, good = _without_dependents(layers, kept, low), low
    sizes.problem = "\n".join(problems)
    return sizes


def _without_dependents(
    layers: Sequence[LayerParameter], kept: Sequence[int], at: int
) -> list[int]:
    """Return `kept` without the layer at an index of it, and without those that read its tops."""
    known = {top for index in kept[:at] for top in layers[index].top}
    lost: set[str] = set()
    result = list(kept[:at])
    for position, index in enumerate(kept[at:]):
        if position and lost.isdisjoint(layers[index].bottom):
            result.append(index)
        else:
            lost.update(set(layers[index].top) - known)
    return result


def _subset(source: NetSource, kept: Sequence[int]) -> NetSource:
    param = type(source.param)()
    param.CopyFrom(source.param)
    del param.layer[:]
    param.layer.extend(source.param.layer[index] for index in kept)
    return replace(source, param=param, origin=[source.origin[index] for index in kept])


def _measured(attempt: Attempt, state: NetState, kept: Sequence[int]) -> NetSizes:
    """Build the net of some layers, by their index in the source, and measure it."""
    source, assumed = _subset(attempt[0], kept), attempt[1]
    with log.suppress_info():
        net = Net(source, state, seed=0)
        indices = [None if n.index is None else kept[n.index] for n in filter_layers(source, state)]
    try:
        return _sizes_of(net, assumed, indices)
    finally:
        net.close()


def _sizes_of(net: Net, assumed: dict[int, Shape], indices: Sequence[int | None]) -> NetSizes:
    given = {layer.name for layer in net.source.param.layer}
    steps = [s for s in net.steps if not s.layer.copies_bottom or s.layer.name in given]
    sizes = NetSizes()
    owned = {id(parameter.blob) for parameter in net.parameters}
    for index, step in zip(indices, steps, strict=True):
        if index is not None:
            sizes.layers[index] = _layer_sizes(step, owned)
            if index in assumed:
                sizes.assumed[step.layer.name] = assumed[index]
    first = next((blob.shape for step in steps for blob in step.top if blob.shape), (1,))
    sizes.batch = first[0]
    return sizes


def _layer_sizes(step: Step, owned: set[int]) -> LayerSizes:
    made = [blob for blob in step.top if blob not in step.bottom]
    return LayerSizes(
        bottoms=[blob.shape for blob in step.bottom],
        tops=[blob.shape for blob in step.top],
        parameters=sum(blob.count for blob in step.layer.blobs if id(blob) in owned),
        multiply_adds=step.layer.multiply_adds(step.bottom, step.top),
        memory_bytes=BYTES_PER_VALUE * sum(blob.count for blob in made),
    )


def _without_fillers(source: NetSource) -> Attempt:
    """Return the net with zero-filled weights, because random fillers are slow and not needed."""
    param = type(source.param)()
    param.CopyFrom(source.param)
    for layer in param.layer:
        for _, settings in layer.ListFields():
            _clear_fillers(settings)
    return replace(source, param=param), {}


def _clear_fillers(settings: Any) -> None:
    if not hasattr(settings, "ListFields"):
        return
    for descriptor, _ in settings.ListFields():
        if descriptor.message_type is FillerParameter.DESCRIPTOR:
            settings.ClearField(descriptor.name)


def _without_sources(plain: Attempt, image: Shape) -> Attempt:
    """Return the net with constant data instead of data layers whose batch shape is known."""
    param = type(plain[0].param)()
    param.CopyFrom(plain[0].param)
    assumed = {}
    for index, layer in enumerate(param.layer):
        shape = LAYERS[layer.type].batch_shape(layer, image) if layer.type in LAYERS else ()
        if shape:
            assumed[index] = shape
            make_dummy(layer, shape)
    return replace(plain[0], param=param), assumed
