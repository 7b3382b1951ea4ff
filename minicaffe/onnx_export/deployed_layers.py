"""The layers that take the place of those of training: probabilities of losses, or none."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers import LAYERS
from minicaffe.layers.base import LayerClass
from minicaffe.log import logger
from minicaffe.net.include_rules import Node
from minicaffe.schema import LayerParameter


def layer_kind(layer: LayerParameter) -> LayerClass | None:
    """Return the class of a layer, None for an unknown type: building the net names the nearest."""
    return LAYERS[layer.type].variant(layer) if layer.type in LAYERS else None


def deployed_layers(nodes: Sequence[Node]) -> list[Node]:
    """Return the layers of a net as they are deployed; logs each that is dropped or replaced.

    A layer that reads what only a dropped layer makes is dropped as well.
    """
    found = [_deployed(node.param) for node in nodes]
    _set_names([node.param for node in nodes], found)
    kept: list[Node] = []
    gone: set[str] = set()
    for node, layer in zip(nodes, found, strict=True):
        missing = gone.intersection(layer.bottom if layer else ())
        if layer is None or missing:
            gone.update(node.param.top)
            reason = f', because nothing makes "{min(missing)}"' if missing else ""
            logger.info(f'layer "{node.param.name}" ({node.param.type}) is left out{reason}')
            continue
        gone.update(node.param.top)
        gone.difference_update(layer.top)
        if layer is not node.param:
            _announce(node.param, layer)
        kept.append(Node(layer, node.index))
    return kept


def _deployed(layer: LayerParameter) -> LayerParameter | None:
    kind = layer_kind(layer)
    return kind.deployed(layer) if kind else layer


def _announce(layer: LayerParameter, found: LayerParameter) -> None:
    name = f'layer "{layer.name}" ({layer.type})'
    if found.type == layer.type:
        logger.info(f"{name} gets the settings of a net that is used")
    else:
        logger.info(f'{name} becomes {found.type}, top "{found.top[0]}"')


def _set_names(layers: Sequence[LayerParameter], found: list[LayerParameter | None]) -> None:
    """Give the probabilities of several losses names of their own; the last one keeps its name.

    Probabilities that a layer of the net computes already are dropped.
    """
    own = [one for one, other in zip(layers, found, strict=True) if one is other]
    taken = {name for layer in own for name in layer.top}
    for k in reversed(range(len(layers))):
        layer = found[k]
        if layer is None or layer is layers[k]:
            continue
        new = [name for name in layer.top if name not in (*layer.bottom, *layers[k].top)]
        if any(_computes_the_same(other, layer) for other in own) and new:
            found[k] = None
            continue
        for name in taken.intersection(new):
            layer.top[list(layer.top).index(name)] = f"{layer.name}/{name}"
        taken.update(layer.top)


def _computes_the_same(layer: LayerParameter, other: LayerParameter) -> bool:
    return layer.type == other.type and list(layer.bottom) == list(other.bottom)
