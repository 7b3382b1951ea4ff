"""Mean, scale and order of channels as layers in front of a net, so that it takes plain pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicaffe.data.transformer import DataTransformer
from minicaffe.errors import DataError, NetError
from minicaffe.layers import LAYERS
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.log import logger, suppress_info
from minicaffe.net.include_rules import Node, filter_layers
from minicaffe.net.net import Net
from minicaffe.onnx_export.drawn_inputs import WholeNumbers
from minicaffe.ops.backend import Shape
from minicaffe.schema import TEST, TRAIN, LayerParameter, NetSource, NetState, read_net
from minicaffe.schema.minicaffe_pb2 import TransformationParameter

Floats = npt.NDArray[np.float32]

_MEAN_NAME = "pixels/mean"
# Layers that weights files do not have.
ADDED_LAYERS = (_MEAN_NAME,)
_WRITTEN = {"mean_value", "mean_file", "scale", "bgr2rgb", "cvt_bgr2rgb"}
_COLOURS = 3
# Rows and columns into which every crop fits.
_ANY_SIZE = (2**31, 2**31)
PIXEL_VALUES = WholeNumbers(256)


@dataclass(frozen=True)
class PixelTransform:
    """What a net's data layer computes from pixels, y = (x - mean) scale, to be put in its graph.

    Parameters
    ----------
    param : TransformationParameter
        The settings; those that move or resize images are ignored.
    where : str
        File, line and layer, for messages.
    top : str
        The blob that the data layer makes.
    takes_rgb : bool
        Whether pixels are given in the order red, green, blue instead of Caffe's.
    """

    param: TransformationParameter = field(default_factory=TransformationParameter)
    where: str = "--rgb"
    top: str = ""
    takes_rgb: bool = False

    @property
    def takes_pixels(self) -> bool:
        """Whether the input is an image with values from 0 to 255."""
        return bool(self.param.ListFields())

    @property
    def _reverses(self) -> bool:
        return self.takes_rgb != (self.param.bgr2rgb or self.param.cvt_bgr2rgb)

    def add_layers(self, source: NetSource) -> tuple[NetSource, str]:
        """Return a net with layers behind its input that compute this, and the input's name.

        Raises
        ------
        NetError
            If no input, or no single one, takes images, or the settings do not fit it.
        """
        inputs = {
            top: tuple(shape.dim)
            for layer in source.param.layer
            if layer.type in LAYERS and LAYERS[layer.type].is_filled_by_program
            for top, shape in zip(layer.top, layer.input_param.shape, strict=False)
            if len(shape.dim) == 4
        }
        name = self.top if self.top in inputs else next(iter(inputs), "")
        if not name or (len(inputs) > 1 and name != self.top):
            raise NetError(
                f"{self.where}: the net {source.path} has {len(inputs)} inputs for images"
                + (f", and none is called {self.top!r}: {', '.join(inputs)}" if inputs else "")
            )
        added = self._layers(name, inputs[name])
        if added:
            self._log(name)
        else:
            logger.warning(
                f"{self.where}: transform_param has neither mean nor scale, so --transform has no "
                "effect"
            )
        return _insert(source, name, added), name

    def write_mean(self, net: Net) -> None:
        """Write the mean into the layer that `add_layers` added.

        Raises
        ------
        DataError
            If the mean file cannot be read, or the mean does not fit the input.
        """
        for layer in net.layers:
            if layer.name == _MEAN_NAME:
                [blob] = layer.blobs
                blob.data.set(-self._mean((*blob.shape, 1, 1)[:3]).reshape(blob.shape))

    def _mean(self, image: Shape) -> Floats:
        try:
            transformer = DataTransformer(self.param, TEST)
            if not self.param.mean_file:
                transformer.output_shape((image[0], *_ANY_SIZE))  # checks the number of values
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error
        mean = transformer.mean(image[0])
        return self._cut(mean, image) if self.param.mean_file else mean

    def _cut(self, mean: Floats, image: Shape) -> Floats:
        """Return the part of a mean image that belongs to the crop of the TEST phase."""
        crops = self.param.crop_size or (self.param.crop_h, self.param.crop_w) != (0, 0)
        tops = [large - small for large, small in zip(mean.shape[1:], image[1:], strict=True)]
        if mean.shape[0] != image[0] or min(tops) < 0 or (any(tops) and not crops):
            raise DataError(
                f"{self.where}: mean_file {self.param.mean_file}: the mean is {_times(mean.shape)} "
                f"and the net's input {_times(image)} (channels x rows x columns). The channels "
                "must agree, and the sizes, unless transform_param has a crop_size. Use one "
                "mean_value a channel."
            )
        top, left = (spare // 2 for spare in tops)
        return mean[:, top : top + image[1], left : left + image[2]]

    def _layers(self, name: str, shape: Shape) -> list[LayerParameter]:
        """Return the layers; the first reads `name`, and each the one before."""
        layers: list[LayerParameter] = []
        if self._reverses:
            if shape[1] != _COLOURS:
                raise NetError(
                    f'{self.where}: the order of colours is that of three channels; input "{name}" '
                    f"has {shape[1]}"
                )
            parts = [f"{name}_{k}" for k in range(_COLOURS)]
            layers.append(LayerParameter(name="pixels/channels", type="Slice", top=parts))
            layers.append(LayerParameter(name="pixels/reverse", type="Concat", bottom=parts[::-1]))
        if self.param.mean_value or self.param.mean_file:
            mean = LayerParameter(name=_MEAN_NAME, type="Bias")
            mean.bias_param.num_axes = 3 if self.param.mean_file else 1
            layers.append(mean)
        if self.param.scale != 1:
            scale = LayerParameter(name="pixels/scale", type="Power")
            scale.power_param.scale = self.param.scale
            layers.append(scale)
        return layers

    def _log(self, name: str) -> None:
        order = "red, green, blue" if self.takes_rgb else "blue, green, red"
        values = "pixels from 0 to 255, of " if self.takes_pixels else ""
        logger.info(f'{self.where}: input "{name}" takes {values}colours in the order {order}')
        idle = [f.name for f, _ in self.param.ListFields() if f.name not in _WRITTEN]
        if idle:
            logger.info(
                f"{self.where}: left out of transform_param: {', '.join(idle)}. Give the file "
                "images of the input's size."
            )


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _insert(source: NetSource, name: str, added: Sequence[LayerParameter]) -> NetSource:
    """Return the net with layers between an input and those that read it."""
    if not added:
        return source
    param = type(source.param)()
    param.CopyFrom(source.param)
    taken = {top for layer in param.layer for top in layer.top}
    new = f"{name}_transformed"
    while new in taken:
        new += "_"
    at = next(k for k, layer in enumerate(param.layer) if name in layer.top) + 1
    layers = list(param.layer)
    for layer in layers[at:]:
        for names in (layer.bottom, layer.top):
            names[:] = [new if one == name else one for one in names]
    below = name
    for layer in added:
        if not layer.bottom:
            layer.bottom.append(below)
        if not layer.top:
            layer.top.append(new)
            below = new
    param.ClearField("layer")
    param.layer.extend([*layers[:at], *added, *layers[at:]])
    none = [None] * len(added)
    return replace(source, param=param, origin=[*source.origin[:at], *none, *source.origin[at:]])


def read_transform(path: str | Path, state: NetState, takes_rgb: bool) -> PixelTransform:
    """Read the transformation of a net's data layer: that of the TEST phase, or else of TRAIN.

    Parameters
    ----------
    path : str or Path
        The prototxt of a net with data layers.
    state : NetState
        Level and stages for rules of layers.
    takes_rgb : bool
        See `PixelTransform`.

    Raises
    ------
    NetError
        If no data layer has a transformation, or two have different ones.
    """
    source = read_net(path)
    for phase in (TEST, TRAIN):
        chosen = NetState()
        chosen.CopyFrom(state)
        chosen.phase = phase
        with suppress_info():
            nodes = [node for node in filter_layers(source, chosen) if not node.param.bottom]
        nodes = [node for node in nodes if _transformation(node.param).ListFields()]
        if nodes:
            return _common_transform(source, nodes, takes_rgb)
    sources = [layer for layer in source.param.layer if not layer.bottom]
    names = ", ".join(f'"{layer.name}" ({layer.type})' for layer in sources) or "none"
    raise NetError(
        f"{source.path}: no data layer has a transform_param; layers without bottoms: {names}. "
        "Give --transform the prototxt that the net was trained with."
    )


def _common_transform(source: NetSource, nodes: Sequence[Node], takes_rgb: bool) -> PixelTransform:
    first, *others = nodes
    param, where = (
        _transformation(first.param),
        f'{first.where(source)}, layer "{first.param.name}"',
    )
    for other in others:
        if _transformation(other.param) != param:
            raise NetError(
                f'{where}: layer "{other.param.name}" has another transform_param; --transform '
                "takes one for all inputs. Give it a file with one data layer."
            )
    return PixelTransform(param, where, next(iter(first.param.top), ""), takes_rgb)


def _transformation(layer: LayerParameter) -> TransformationParameter:
    """Return what a layer does to pixels, with what its own message says about it."""
    kind = LAYERS.get(layer.type)
    if kind is not None and issubclass(kind, BatchLayer):
        return kind.transformation(layer)
    return layer.transform_param
