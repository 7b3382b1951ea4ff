"""The net to deploy, from a net as it is trained: inputs for data, probabilities for losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from minicaffe import log
from minicaffe.errors import NetError
from minicaffe.layers import LAYERS
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.layers.dummy_data import DummyData
from minicaffe.layers.settable_batch import SettableBatch
from minicaffe.log import logger
from minicaffe.net.include_rules import Node, filter_layers
from minicaffe.onnx_export.deployed_layers import deployed_layers, layer_kind
from minicaffe.ops.backend import Shape
from minicaffe.schema import TRAIN, LayerParameter, NetSource, NetState


def inference_net(
    source: NetSource, state: NetState, image: Shape = (), batch: int | None = None
) -> NetSource:
    """Return the net to deploy; logs each layer that is dropped or replaced.

    Parameters
    ----------
    source : NetSource
        The net, for training or not.
    state : NetState
        Phase, level and stages that rules of layers are compared with.
    image : tuple of int
        Channels, rows and columns of images, where a data layer does not say them.
    batch : int, optional
        Number of samples; by default that of the file.

    Raises
    ------
    NetError
        If the shape of a data layer's batches is not known.
    """
    nodes = filter_layers(source, state)
    nodes = [*_training_sources(nodes, source, state), *nodes]
    labels = _labels(nodes)
    deployed = deployed_layers(nodes)
    if len(deployed) < len(nodes):
        deployed = _without_unread(deployed, labels)
    deployed = _with_dummies_as_inputs(deployed)
    deployed = [_with_inputs(node, source, image, labels, deployed) for node in deployed]
    if batch is not None:
        _set_batch([node.param for node in deployed], batch)
    param = type(source.param)()
    param.CopyFrom(source.param)
    del param.layer[:]
    param.layer.extend(node.param for node in deployed)
    for layer in param.layer:
        for rules in ("include", "exclude"):
            layer.ClearField(rules)
    indices = [node.index for node in deployed]
    origin = [None if index is None else source.origin[index] for index in indices]
    return replace(source, param=param, origin=origin)


def with_input_shapes(source: NetSource, shapes: Mapping[str, Shape]) -> NetSource:
    """Return the net with other shapes of its inputs, by name."""
    param = type(source.param)()
    param.CopyFrom(source.param)
    for layer in param.layer:
        if shapes.keys() & set(layer.top) and LAYERS[layer.type].is_filled_by_program:
            del layer.input_param.shape[:]
            for top in layer.top:
                layer.input_param.shape.add(dim=shapes[top])
    return replace(source, param=param)


def _training_sources(nodes: Sequence[Node], source: NetSource, state: NetState) -> list[Node]:
    """Return the data layers of the TRAIN phase, if the net lacks what they make."""
    made: set[str] = set()
    missing: set[str] = set()
    for node in nodes:
        missing.update(name for name in node.param.bottom if name not in made)
        made.update(node.param.top)
    if not missing:
        return []
    training = NetState()
    training.CopyFrom(state)
    training.phase = TRAIN
    with log.suppress_info():
        others = filter_layers(source, training)
    return [node for node in others if _is_source(node.param) and missing & set(node.param.top)]


def _is_source(layer: LayerParameter) -> bool:
    kind = layer_kind(layer)
    return kind is not None and kind.role == "data" and not layer.bottom


def _labels(nodes: Sequence[Node]) -> set[str]:
    """Return the blobs that depend on labels only: tops of data layers but the first ones."""
    labels: set[str] = set()
    for node in nodes:
        layer = node.param
        if _is_source(layer):
            labels.update(layer.top[1:])
        elif layer.bottom and labels.issuperset(layer.bottom):
            labels.update(layer.top)
    return labels


def _without_unread(nodes: Sequence[Node], labels: set[str]) -> list[Node]:
    """Return the nodes without those that made labels for the dropped layers only."""
    kept: list[Node] = []
    read: set[str] = set()
    for node in reversed(nodes):
        layer = node.param
        if layer.top and not read.intersection(layer.top) and labels.issuperset(layer.top):
            continue
        kept.append(node)
        read.update(layer.bottom)
    return kept[::-1]


def _with_inputs(
    node: Node, source: NetSource, image: Shape, labels: set[str], nodes: Sequence[Node]
) -> Node:
    """Return an Input layer for a data layer, without the tops that nothing reads."""
    layer = node.param
    if not _is_source(layer):
        return node
    kind = layer_kind(layer)
    if kind is None or not issubclass(kind, BatchLayer):
        return node
    shapes = kind.top_shapes(layer, image)
    if not shapes:
        raise NetError(
            f'{node.where(source)}, layer "{layer.name}" ({layer.type}): the size of its images is '
            "not in the file. Give it with --input_shape=C,H,W."
        )
    read = {name for other in nodes for name in other.param.bottom}
    made = LayerParameter(name=layer.name, type="Input")
    for k, top in enumerate(layer.top):
        if k == 0 or top in read:
            made.top.append(top)
            made.input_param.shape.add(dim=shapes[k])
    logger.info(f'layer "{layer.name}" ({layer.type}) becomes an input of shape {shapes[0]}')
    return Node(made, node.index)


def _with_dummies_as_inputs(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes with inputs for DummyData layers, if nothing else gives the net data."""
    kinds = [layer_kind(node.param) for node in nodes]
    if any(kind and (kind.is_filled_by_program or issubclass(kind, BatchLayer)) for kind in kinds):
        return list(nodes)
    read = {name for node in nodes for name in node.param.bottom}
    made = []
    for node, kind in zip(nodes, kinds, strict=True):
        if kind is None or not issubclass(kind, DummyData):
            made.append(node)
            continue
        layer = kind.as_input(node.param, read)
        if layer.top:
            logger.info(f'layer "{layer.name}" ({node.param.type}) becomes an input')
            made.append(Node(layer, node.index))
    return made


def _set_batch(layers: Sequence[LayerParameter], batch: int) -> None:
    """Set the number of samples of layers that have as many as the first input."""
    shapes = [
        shape
        for layer in layers
        if layer.type in LAYERS and LAYERS[layer.type].is_filled_by_program
        for shape in layer.input_param.shape
        if shape.dim
    ]
    if not shapes:
        return
    samples = shapes[0].dim[0]
    for layer in layers:
        kind = layer_kind(layer)
        if kind and issubclass(kind, SettableBatch):
            kind.set_batch(layer, samples, batch)
