"""How large a net is: shapes, parameters, multiply-adds and memory of each layer.

The net is built with constants for weights, which costs little even for large ones. Where a data
source is missing, shapes are taken from what the layer says of its batches, if it says enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from minicaffe import log
from minicaffe.errors import MinicaffeError
from minicaffe.net.builder import BYTES_PER_VALUE
from minicaffe.net.include_rules import filter_layers
from minicaffe.net.net import Net
from minicaffe.net.step import Step
from minicaffe.ops.backend import Shape
from minicaffe.schema import FillerParameter, LayerParameter, NetSource, NetState

# A net to try, and the shapes assumed in it by index of the layer.
Attempt: TypeAlias = tuple[NetSource, dict[int, Shape]]

_COLOUR_CHANNELS = 3  # what a source has that cannot be asked
_SOURCES = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "HDF5Data": "hdf5_data_param",
    "WindowData": "window_data_param",
}
_RECURRENT = ("RNN", "LSTM")


@dataclass(frozen=True)
class LayerSizes:
    """The size of one layer.

    Attributes
    ----------
    bottoms, tops : list of tuple of int
        Shapes.
    parameters : int
        Number of learned values; 0 for those that an earlier layer of the net shares.
    multiply_adds : int
        Of one forward pass of the whole batch. Counts products with matrices of weights
        (convolutions, inner products, recurrent layers); what other layers add is little.
    memory_bytes : int
        Of the tops' values, 0 for those that are computed in place.
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
        Shapes assumed for the layers whose data source was not there.
    problem : str
        Why nothing could be measured, a line for each reason; "" if it could.
    """

    layers: dict[int, LayerSizes] = field(default_factory=dict)
    batch: int = 1
    assumed: dict[str, Shape] = field(default_factory=dict)
    problem: str = ""


def measure(source: NetSource, state: NetState, picture: Shape = ()) -> NetSizes:
    """Measure a net. A net that cannot be built is no error here.

    Parameters
    ----------
    source : NetSource
    state : NetState
        Phase, level and stages to build it for.
    picture : tuple of int
        Channels, rows and columns of pictures whose source is not there; by default what the data
        layer crops to, in colour.
    """
    plain = _without_fillers(source)
    problems: dict[str, None] = {}
    for attempt in (plain, _without_sources(plain, picture)):
        try:
            with log.suppress_info():
                net = Net(attempt[0], state, seed=0)
        except MinicaffeError as error:
            problems.update(dict.fromkeys(str(error).splitlines()))
            continue
        try:
            return _measured(net, attempt, state)
        finally:
            net.close()
    return NetSizes(problem="\n".join(problems))


def _measured(net: Net, attempt: Attempt, state: NetState) -> NetSizes:
    source, assumed = attempt
    given = {layer.name for layer in source.param.layer}
    with log.suppress_info():
        indices = [node.index for node in filter_layers(source, state)]
    steps = [s for s in net.steps if s.layer.type != "Split" or s.layer.name in given]
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
        multiply_adds=multiply_adds(step),
        memory_bytes=BYTES_PER_VALUE * sum(blob.count for blob in made),
    )


def multiply_adds(step: Step) -> int:
    """Return the products with matrices of weights in one forward pass of a layer."""
    kind, blobs = step.layer.type, step.layer.blobs
    if kind == "Convolution":
        return sum(top.count for top in step.top) * math.prod(blobs[0].shape[1:])
    if kind == "Deconvolution":
        return sum(bottom.count for bottom in step.bottom) * math.prod(blobs[0].shape[1:])
    if kind == "InnerProduct":
        samples = step.top[0].count // step.layer.settings.num_output
        return int(samples * blobs[0].count)
    if kind in _RECURRENT:
        steps, streams = step.bottom[0].shape[:2]
        return steps * streams * sum(blob.count for blob in blobs if len(blob.shape) == 2)
    return 0


def _without_fillers(source: NetSource) -> Attempt:
    """Return the net with all weights filled with zeros: random ones take long and say nothing."""
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


def _without_sources(plain: Attempt, picture: Shape) -> Attempt:
    """Return the net with constant data of the likely shape instead of data layers."""
    param = type(plain[0].param)()
    param.CopyFrom(plain[0].param)
    assumed = {}
    for index, layer in enumerate(param.layer):
        shape = _likely_shape(layer, picture)
        if shape:
            assumed[index] = shape
            _make_dummy(layer, shape)
    return replace(plain[0], param=param), assumed


def _likely_shape(layer: LayerParameter, picture: Shape) -> Shape:
    """Return the shape of a data layer's batches as far as the prototxt tells it, or nothing."""
    if layer.type not in _SOURCES:
        return ()
    settings = getattr(layer, _SOURCES[layer.type])
    transform = layer.transform_param
    channels, height, width = picture or (_COLOUR_CHANNELS, 0, 0)
    if layer.type == "ImageData" and not picture:
        channels = _COLOUR_CHANNELS if settings.is_color else 1
        height, width = settings.new_height, settings.new_width
    height, width = transform.crop_size or height, transform.crop_size or width
    return (settings.batch_size, channels, height, width) if height and width else ()


def _make_dummy(layer: LayerParameter, shape: Shape) -> None:
    """Turn a data layer into one of constants: pictures first, then a label a picture."""
    layer.type = "DummyData"
    for k in range(len(layer.top)):
        layer.dummy_data_param.shape.add(dim=shape if k == 0 else shape[:1])
