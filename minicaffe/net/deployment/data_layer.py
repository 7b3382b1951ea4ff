"""The data layer that gives a training net its images, and the size of these."""

from __future__ import annotations

from contextlib import closing

from minicaffe.layers import LAYERS
from minicaffe.layers.base import LayerClass
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.log import suppress_info
from minicaffe.net.include_rules import Node, filter_layers
from minicaffe.net.net import Net
from minicaffe.ops.backend import Shape
from minicaffe.schema import TEST, TRAIN, NetParameter, NetSource, NetState


def data_layer(source: NetSource, state: NetState) -> Node | None:
    """Return the data layer that the net to deploy gets its input from: of TEST, or else of TRAIN.

    Parameters
    ----------
    source : NetSource
    state : NetState
        Level and stages for rules of layers; the phase does not count.
    """
    for phase in (TEST, TRAIN):
        chosen = NetState()
        chosen.CopyFrom(state)
        chosen.phase = phase
        with suppress_info():
            nodes = filter_layers(source, chosen)
        for node in nodes:
            if not node.param.bottom and _is_batch_layer(LAYERS.get(node.param.type)):
                return node
    return None


def _is_batch_layer(kind: LayerClass | None) -> bool:
    return kind is not None and issubclass(kind, BatchLayer)


def stored_image_shape(source: NetSource, node: Node) -> Shape:
    """Return the shape of the images that a data layer makes, by reading its first sample.

    Returns
    -------
    tuple of int
        Channels, rows and columns; empty if the layer makes no images.

    Raises
    ------
    MinicaffeError
        If its data cannot be read.
    """
    param = NetParameter(layer=[node.param])
    for rules in ("include", "exclude"):
        param.layer[0].ClearField(rules)
    origin = [None if node.index is None else source.origin[node.index]]
    alone = NetSource(param, source.path, origin, source.parsed, source.within)
    with suppress_info(), closing(Net(alone, NetState(phase=TEST))) as net:
        shape = net.blobs[node.param.top[0]].shape
    return shape[1:] if len(shape) == 4 else ()
