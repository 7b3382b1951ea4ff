"""A net that is described by calls, with the names that its parameters have in torchvision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minicaffe.ops.backend import Shape
from minicaffe.schema import LayerParameter, NetParameter
from minicaffe.schema.minicaffe_pb2 import PoolingParameter

INPUT_SIZE = 224  # pixels


class NetSketch:
    """A net under construction; each method adds layers and returns the new top.

    Parameters
    ----------
    name : str
        The name of the net.

    Attributes
    ----------
    param : NetParameter
        The net. The blob "data" is normalised by the first layer.
    shapes : dict of str to tuple
        The shape of each parameter by its name in torchvision.
    parameters : dict of str to list of str
        For each layer, the names of its parameters.
    norms : set of str
        The BatchNorm layers; their third parameter, a count, is not in torchvision's files.
    eps : float
        Of the BatchNorm layers.
    """

    def __init__(self, name: str) -> None:
        self.param = NetParameter(name=name)
        self.shapes: dict[str, Shape] = {}
        self.parameters: dict[str, list[str]] = {}
        self.norms: set[str] = set()
        self.eps = 1e-5
        self._channels = {"data": 3, "normalized": 3}
        layer = self._layer("data", "Input", [], "data")
        layer.input_param.shape.add(dim=[1, 3, INPUT_SIZE, INPUT_SIZE])
        self._layer("normalize", "Scale", ["data"], "normalized").scale_param.bias_term = True

    def channels(self, blob: str) -> int:
        """Return the number of channels of a blob."""
        return self._channels[blob]

    def conv(
        self,
        bottom: str,
        name: str,
        outputs: int,
        window: tuple[int, int, int] = (1, 1, 0),
        *,
        bias: bool = False,
        group: int = 1,
    ) -> str:
        """Add a convolution; `window` is kernel, stride and pad."""
        layer = self._layer(name, "Convolution", [bottom], name)
        settings = layer.convolution_param
        settings.num_output = outputs
        kernel, stride, pad = window
        settings.kernel_size.append(kernel)
        if stride != 1:
            settings.stride.append(stride)
        if pad:
            settings.pad.append(pad)
        if group != 1:
            settings.group = group
        if not bias:
            settings.bias_term = False
        shape = (outputs, self._channels[bottom] // group, kernel, kernel)
        self._parameters(name, weight=shape, **({"bias": (outputs,)} if bias else {}))
        self._channels[name] = outputs
        return name

    def norm(self, bottom: str, name: str, *, in_place: bool = True) -> str:
        """Add BatchNorm and Scale."""
        top = bottom if in_place else name
        self._layer(name, "BatchNorm", [bottom], top).batch_norm_param.eps = self.eps
        self._layer(f"{name}.scale", "Scale", [top], top).scale_param.bias_term = True
        self.norms.add(name)
        shape = (self._channels[bottom],)
        self._parameters(name, running_mean=shape, running_var=shape)
        self.shapes |= {f"{name}.weight": shape, f"{name}.bias": shape}
        self.parameters[f"{name}.scale"] = [f"{name}.weight", f"{name}.bias"]
        self._channels[top] = shape[0]
        return top

    def rectify(self, blob: str) -> str:
        """Add a ReLU in place."""
        self._layer(f"{blob}.relu", "ReLU", [blob], blob)
        return blob

    def rectify6(self, blob: str) -> str:
        """Add a Clip to 0 .. 6 in place."""
        layer = self._layer(f"{blob}.relu6", "Clip", [blob], blob)
        layer.clip_param.min, layer.clip_param.max = 0, 6
        return blob

    def pool(
        self,
        bottom: str,
        name: str,
        window: tuple[int, int, int],
        *,
        ceil: bool = False,
        average: bool = False,
    ) -> str:
        """Add pooling; `window` is kernel, stride and pad, and sizes are rounded down or up."""
        layer = self._pooling(bottom, name, average)
        settings = layer.pooling_param
        settings.kernel_size, settings.stride, settings.pad = window
        if not ceil:
            settings.round_mode = PoolingParameter.FLOOR
        return name

    def global_average(self, bottom: str, name: str = "avgpool") -> str:
        """Add the average of each channel."""
        self._pooling(bottom, name, average=True).pooling_param.global_pooling = True
        return name

    def _pooling(self, bottom: str, name: str, average: bool) -> LayerParameter:
        layer = self._layer(name, "Pooling", [bottom], name)
        layer.pooling_param.pool = PoolingParameter.AVE if average else PoolingParameter.MAX
        self._channels[name] = self._channels[bottom]
        return layer

    def concat(self, bottoms: Sequence[str], name: str) -> str:
        """Join channels."""
        self._layer(name, "Concat", bottoms, name)
        self._channels[name] = sum(self._channels[bottom] for bottom in bottoms)
        return name

    def add(self, bottoms: Sequence[str], name: str) -> str:
        """Add blobs."""
        self._layer(name, "Eltwise", bottoms, name)
        self._channels[name] = self._channels[bottoms[0]]
        return name

    def linear(self, bottom: str, name: str, outputs: int, pixels: int = 1) -> str:
        """Add an InnerProduct of a blob whose images have so many pixels."""
        self._layer(name, "InnerProduct", [bottom], name).inner_product_param.num_output = outputs
        shape = (outputs, self._channels[bottom] * pixels)
        self._parameters(name, weight=shape, bias=(outputs,))
        self._channels[name] = outputs
        return name

    def softmax(self, bottom: str) -> None:
        """Add the probabilities, as the output "prob"."""
        self._layer("prob", "Softmax", [bottom], "prob")

    def flatten(self, bottom: str, name: str) -> str:
        """Make vectors of images."""
        self._layer(name, "Flatten", [bottom], name)
        self._channels[name] = self._channels[bottom]
        return name

    def first_product(self) -> str:
        """Return the name of the layer that multiplies the channels of the input."""
        return next(self._of_bottom("normalized"))

    def _of_bottom(self, blob: str) -> Iterator[str]:
        return (layer.name for layer in self.param.layer if blob in layer.bottom)

    def _layer(self, name: str, kind: str, bottoms: Sequence[str], top: str) -> LayerParameter:
        return self.param.layer.add(name=name, type=kind, bottom=bottoms, top=[top])

    def _parameters(self, owner: str, **shapes: Shape) -> None:
        named = {f"{owner}.{name}": shape for name, shape in shapes.items()}
        self.shapes |= named
        self.parameters[owner] = list(named)
