"""The net to deploy, from a net as it is trained: inputs for data, probabilities for losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from minicaffe.errors import NetError
from minicaffe.layers import LAYERS
from minicaffe.layers.base import LayerClass
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.layers.dummy_data import DummyData
from minicaffe.layers.input import Input
from minicaffe.layers.settable_batch import SettableBatch
from minicaffe.log import logger
from minicaffe.net.include_rules import Node, filter_layers
from minicaffe.ops.backend import Shape
from minicaffe.schema import TRAIN, LayerParameter, NetSource, NetState


def inference_net(source: NetSource, state: NetState, image: Shape = ()) -> NetSource:
    """Return the net to deploy; logs each layer that is dropped or replaced.

    Parameters
    ----------
    source : NetSource
        The net, for training or not.
    state : NetState
        Phase, level and stages that rules of layers are compared with.
    image : tuple of int
        Channels, rows and columns of images, where a data layer does not say them.

    Raises
    ------
    NetError
        If the shape of a data layer's batches is not known.
    """
    nodes = filter_layers(source, state)
    nodes = _training_data(source, state, nodes) + nodes
    labels = _labels(nodes)
    deployed = _without_losses(nodes)
    if len(deployed) < len(nodes):
        deployed = _without_unread(deployed, labels)
    deployed = _with_dummies_as_inputs(deployed)
    deployed = [_with_inputs(node, source, image, labels, deployed) for node in deployed]
    param = type(source.param)()
    param.CopyFrom(source.param)
    del param.layer[:]
    param.ClearField("state")  # the rules have been applied
    param.layer.extend(node.param for node in deployed)
    for layer in param.layer:
        for rules in ("include", "exclude"):
            layer.ClearField(rules)
    indices = [node.index for node in deployed]
    origin = [None if index is None else source.origin[index] for index in indices]
    return replace(source, param=param, origin=origin)


def with_batch(source: NetSource, batch: int | None) -> NetSource:
    """Return the net with another number of samples, None for its own.

    It changes in those layers without bottoms that have as many samples as the first input.
    """
    if batch is None:
        return source
    param = type(source.param)()
    param.CopyFrom(source.param)
    kinds = [_kind(layer) for layer in param.layer]
    shapes = [
        shape
        for layer, kind in zip(param.layer, kinds, strict=True)
        if kind and kind.is_filled_by_program
        for shape in layer.input_param.shape
        if shape.dim
    ]
    samples = shapes[0].dim[0] if shapes else 0
    for layer, kind in zip(param.layer, kinds, strict=True):
        if kind and issubclass(kind, SettableBatch) and shapes:
            kind.set_batch(layer, samples, batch)
    return replace(source, param=param)


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


def _training_data(source: NetSource, state: NetState, nodes: Sequence[Node]) -> list[Node]:
    """Return data layers of other phases that make blobs which `nodes` lack."""
    made: set[str] = set()
    missing: set[str] = set()
    for node in nodes:
        missing.update(name for name in node.param.bottom if name not in made)
        made.update(node.param.top)
    if not missing:
        return []
    other = NetState()
    other.CopyFrom(state)
    other.phase = TRAIN
    found = [
        node
        for node in filter_layers(source, other)
        if _is_source(node.param) and missing.intersection(node.param.top)
    ]
    for node in found:
        layer = node.param
        logger.info(f'layer "{layer.name}" ({layer.type}) of the phase TRAIN gives the input')
    return found


def _without_losses(nodes: Sequence[Node]) -> list[Node]:
    """Return the layers as they are deployed, without those that read what is dropped."""
    kept: list[Node] = []
    changed: list[tuple[str, LayerParameter]] = []
    missing: set[str] = set()  # blobs that no layer makes any more
    for node in nodes:
        layer = node.param
        lost = sorted(missing.intersection(layer.bottom))
        found = None if lost else _deployed(layer)
        missing = (missing | set(layer.top)) - set(found.top if found else ())
        if found is None:
            why = f', because it reads "{lost[0]}"' if lost else ""
            logger.info(f'layer "{layer.name}" ({layer.type}) is left out{why}')
        elif found is layer:
            kept.append(node)
        elif not any(_are_equal_but_for_names(found, other.param) for other in kept):
            kept.append(Node(found, node.index))
            changed.append((layer.type, found))
    _separate_tops([found for _, found in changed], [node.param for node in kept])
    for old, found in changed:
        name = f'layer "{found.name}" ({old})'
        if old == found.type:
            logger.info(f"{name} gets the settings of a net that is used")
        else:
            logger.info(f'{name} becomes {found.type}, top "{found.top[0]}"')
    return kept


def _kind(layer: LayerParameter) -> LayerClass | None:
    """Return the class of a layer, None for an unknown type: building the net names the nearest."""
    return LAYERS[layer.type].variant(layer) if layer.type in LAYERS else None


def _deployed(layer: LayerParameter) -> LayerParameter | None:
    kind = _kind(layer)
    return kind.deployed(layer) if kind else layer


def _are_equal_but_for_names(one: LayerParameter, other: LayerParameter) -> bool:
    """Return whether two layers compute the same: the net may have the probabilities already."""
    copy = type(other)()
    copy.CopyFrom(other)
    copy.name = one.name
    del copy.top[:]
    copy.top.extend(one.top)
    return copy == one


def _separate_tops(found: Sequence[LayerParameter], layers: Sequence[LayerParameter]) -> None:
    """Name tops of `found` after their layers where another layer, or a later one, has the name."""
    taken = {top for layer in layers if layer not in found for top in layer.top}
    for layer in reversed(found):  # the last loss is the main one
        if layer.top[0] in taken.difference(layer.bottom):
            layer.top[0] = f"{layer.name}/{layer.top[0]}"
        taken.update(layer.top)


def _is_source(layer: LayerParameter) -> bool:
    kind = _kind(layer)
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
    kind = _kind(layer)
    if kind is None or not issubclass(kind, BatchLayer):
        return node
    shapes = kind.top_shapes(layer, image)
    if not shapes:
        raise NetError(
            f'{node.where(source)}, layer "{layer.name}" ({layer.type}): the size of its images is '
            "not in the file. Give it with --input_shape=C,H,W."
        )
    read = {name for other in nodes for name in other.param.bottom}
    made = LayerParameter(name=layer.name, type=Input.type)
    for k, top in enumerate(layer.top):
        if k == 0 or top in read:
            made.top.append(top)
            made.input_param.shape.add(dim=shapes[k])
    rest = ", without its transform_param" if layer.HasField("transform_param") else ""
    logger.info(f'layer "{layer.name}" ({layer.type}) becomes an input of shape {shapes[0]}{rest}')
    return Node(made, node.index)


def _with_dummies_as_inputs(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes with inputs for DummyData layers, if nothing else gives the net data."""
    kinds = [_kind(node.param) for node in nodes]
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
