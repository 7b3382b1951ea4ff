"""The trained net before it is quantised: normalisation folded, and its layers with weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe import log
from minicaffe.blob import Blob
from minicaffe.errors import NetError
from minicaffe.layers import LAYERS
from minicaffe.layers.quantized import QuantizedLayer
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.net.include_rules import filter_layers
from minicaffe.ops.backend import Backend
from minicaffe.quantization.batches import RecordedBatches
from minicaffe.schema import LayerBlobs, NetParameter, NetSource, NetState
from minicaffe.weights.fuse import FusedNet, fuse_net

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Product:
    """A layer that multiplies by weights, or several that share them.

    Attributes
    ----------
    names : tuple of str
        Of the layers; the first one owns the weights.
    weights : ndarray of float32
    biases : int
        Number of values of the biases.
    layer : QuantizedLayer
        The first layer, for its settings.
    """

    names: tuple[str, ...]
    weights: Floats
    biases: int
    layer: QuantizedLayer[Any]  # Any: layers of several types have no common settings

    @property
    def name(self) -> str:
        """The first layer's name."""
        return self.names[0]

    @property
    def output_axis(self) -> int | None:
        """The axis of the weights that counts output channels; None if none does."""
        return self.layer.output_axis()


@dataclass(frozen=True)
class FloatNet:
    """A net to quantise.

    Attributes
    ----------
    fed : NetSource
        The layers of the TEST phase, with inputs in place of data layers.
    whole : NetParameter
        The layers of all phases.
    parameters : dict of str to list of ndarray
        Of the layers of `fed`, by name.
    products : dict of str to Product
        By name, in the order of the layers.
    n_values : int
        Number of values of all parameters; those that layers share count once.
    """

    fed: NetSource
    whole: NetParameter
    parameters: Mapping[str, list[Floats]]
    products: Mapping[str, Product]
    n_values: int

    @classmethod
    def of(cls, net: Net, batches: RecordedBatches) -> FloatNet:
        """Fold normalisation in a net with trained weights, and find the layers to quantise.

        Raises
        ------
        NetError
            If there are none.
        """
        source = _as_built(net)
        fed = batches.fed_source(source, net.param.state)
        weights = [
            LayerBlobs(layer.name, layer.type, [blob.data.get() for blob in layer.blobs])
            for layer in net.layers
            if layer.blobs
        ]
        fused = fuse_net(fed, weights)
        _log_folding(fused)
        fed = replace(fed, param=fused.param, parsed=None, origin=[])
        parameters = {layer.name: list(layer.blobs) for layer in fused.layers}
        products, n_values = _products(fed, net, parameters)
        return cls(fed, _whole(source, net.param.state, fused), parameters, products, n_values)


def _log_folding(fused: FusedNet) -> None:
    for name, folded in fused.folded.items():
        logger.info(f"Folded {', '.join(folded)} into {name}")
    for name, reason in fused.kept.items():
        logger.info(f"{name} is not folded: {reason}")


def _as_built(net: Net) -> NetSource:
    """Return the net's source with the settings that layers have found out, such as groups."""
    built = {layer.name: layer.param for layer in net.layers}
    param = NetParameter()
    param.CopyFrom(net.source.param)
    for index in _present(net.source, net.param.state):
        layer = param.layer[index]
        if layer.HasField("convolution_param"):
            layer.convolution_param.CopyFrom(built[layer.name].convolution_param)
        # The net that is compared with computes in floats.
        layer.ClearField("quantization_param")
    return replace(net.source, param=param)


def _present(source: NetSource, state: NetState) -> set[int]:
    """Return the indices of the layers of a phase."""
    with log.suppress_info():
        return {node.index for node in filter_layers(source, state) if node.index is not None}


def _whole(source: NetSource, state: NetState, fused: FusedNet) -> NetParameter:
    """Return the net of all phases, with the layers of the TEST phase as they were fused."""
    present = _present(source, state)
    gone = {name for names in fused.folded.values() for name in names}
    fused_layers = {layer.name: layer for layer in fused.param.layer}
    whole = NetParameter()
    whole.CopyFrom(source.param)
    del whole.layer[:]
    for index, layer in enumerate(source.param.layer):
        if index in present and layer.name in gone:
            continue
        added = whole.layer.add()
        added.CopyFrom(layer)
        if index in present and layer.name in fused.folded:
            added.CopyFrom(fused_layers[layer.name])
            added.include.extend(layer.include)
            added.exclude.extend(layer.exclude)
    return whole


def _products(
    fed: NetSource, net: Net, parameters: Mapping[str, list[Floats]]
) -> tuple[dict[str, Product], int]:
    """Return the layers that can be quantised, and the number of values of all parameters."""
    param = NetParameter()
    param.CopyFrom(fed.param)
    for layer in param.layer:
        # FcRistretto refuses `normalize`, which scales the weights in each pass.
        if not layer.inner_product_param.normalize:
            layer.type = LAYERS[layer.type].quantized_type or layer.type
    with log.suppress_info():
        source = replace(fed, param=param)
        simulated = Net(source, "TEST", backend=net.backend, fills=False)
    sharing: dict[Blob, list[QuantizedLayer[Any]]] = defaultdict(list)
    with closing(simulated):
        for made in simulated.layers:
            if isinstance(made, QuantizedLayer) and made.has_weights:
                sharing[made.blobs[0].data_owner].append(made)
        n_values = sum(parameter.blob.count for parameter in simulated.parameters)
        quantised = {made.name for layers in sharing.values() for made in layers}
        others = [m.name for m in simulated.layers if m.blobs and m.name not in quantised]
    found = [_product(layers, parameters) for layers in sharing.values()]
    if not found:
        raise NetError(
            f"{net.source.where()}: the net has nothing to quantise: no Convolution, Deconvolution "
            "or InnerProduct layer in the TEST phase"
        )
    if others:
        logger.info(f"Parameters of other layers stay in floats: {', '.join(others)}")
    return {product.name: product for product in found}, n_values


def _product(
    layers: Sequence[QuantizedLayer[Any]], parameters: Mapping[str, list[Floats]]
) -> Product:
    owner = layers[0]
    weights, *biases = parameters[owner.name]
    if not np.isfinite(weights).all():
        raise NetError(
            f'layer "{owner.name}" has weights that are not finite; see whether they are those of '
            "a training that diverged"
        )
    return Product(
        names=tuple(layer.name for layer in layers),
        weights=weights.reshape(owner.blobs[0].shape),
        biases=sum(bias.size for bias in biases),
        layer=owner,
    )


def fed_net(
    net: FloatNet, param: NetParameter, parameters: Mapping[str, list[Floats]], backend: Backend
) -> Net:
    """Return a net of the layers of `FloatNet.fed` in other formats, with these parameters."""
    with log.suppress_info():
        made = Net(replace(net.fed, param=param), "TEST", backend=backend, fills=False)
    for layer in made.layers:
        for blob, values in zip(layer.blobs, parameters.get(layer.name, ()), strict=False):
            blob.data.set(values.reshape(blob.shape))
    return made
