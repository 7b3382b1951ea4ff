"""Graph of a net: nodes (layers) with their texts and colours, and arrows between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from minicaffe.analysis.sizes import LayerSizes, NetSizes
from minicaffe.layers import Role, role_of, summary_of
from minicaffe.schema import LayerParameter, NetSource

# Background by what a layer does.
_COLOURS: dict[Role, str] = {
    "data": "#d9ead3",
    "convolution": "#fce0c8",
    "pooling": "#cfe2f3",
    "weights": "#e3d5f0",
    "output": "#fff2b3",
    "loss": "#f8d0d0",
}
_OTHER_COLOUR = "#ededed"
# The same on a dark page.
DARK_COLOURS = {
    "#d9ead3": "#2b4226",
    "#fce0c8": "#5a3a1c",
    "#cfe2f3": "#20405f",
    "#e3d5f0": "#44305c",
    "#fff2b3": "#57490f",
    "#f8d0d0": "#5e2a2a",
    _OTHER_COLOUR: "#343a42",
}
PHASES = ("TRAIN", "TEST")


@dataclass
class GraphNode:
    """A layer, with the layers that change its tops in place.

    Attributes
    ----------
    title : str
        The layer's name.
    lines : list of str
        Type and settings, shape, sizes.
    in_place : list of str
        Names and types of the in-place layers.
    colour : str
        Of the background, as in HTML.
    layers : list of str
        Names of the layer and of the in-place layers.
    """

    title: str
    lines: list[str]
    colour: str
    in_place: list[str] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)


@dataclass
class Graph:
    """Nodes, and arrows between nodes as pairs of indices."""

    name: str
    nodes: list[GraphNode] = field(default_factory=list)
    arrows: list[tuple[int, int]] = field(default_factory=list)


def net_graph(
    source: NetSource,
    phases_of: Mapping[int, set[str]],
    sizes: Mapping[str, NetSizes],
    rates: bool = False,
) -> Graph:
    """Return the graph of a net.

    Parameters
    ----------
    source : NetSource
    phases_of : mapping of int to set of str
        The phases of each layer that is shown, by the layer's index.
    sizes : mapping of str to NetSizes
        Measured sizes, by phase.
    rates : bool
        Whether to show learning-rate multipliers.
    """
    graph = Graph(source.param.name)
    sources: dict[tuple[str, str], int] = {}
    for index, phases in phases_of.items():
        layer = source.param.layer[index]
        measured = next((s for s in sizes.values() if index in s.layers), NetSizes())
        ordered = [p for p in PHASES if p in phases]
        found = [sources.get((p, blob)) for blob in layer.bottom for p in ordered]
        inputs = list(dict.fromkeys(i for i in found if i is not None))
        if layer.bottom and list(layer.top) == list(layer.bottom) and len(inputs) == 1:
            graph.nodes[inputs[0]].in_place.append(f"{layer.name}: {_kind(layer)}")
            graph.nodes[inputs[0]].layers.append(layer.name)
            continue
        node = len(graph.nodes)
        shape = measured.layers.get(index)
        graph.nodes.append(_node(layer, shape, measured.batch, rates))
        graph.arrows += [(source_node, node) for source_node in inputs]
        sources.update({(phase, blob): node for blob in layer.top for phase in ordered})
    return graph


def _node(layer: LayerParameter, sizes: LayerSizes | None, batch: int, rates: bool) -> GraphNode:
    lines = [_kind(layer)]
    if sizes is not None:
        shapes = dict.fromkeys(_shape_text(shape, batch) for shape in sizes.tops)
        lines.append(", ".join(shape for shape in shapes if shape))
        numbers = ((sizes.parameters, "parameters"), (sizes.multiply_adds // batch, "mult-adds"))
        lines += [f"{short_number(count)} {what}" for count, what in numbers if count]
    if rates and layer.param:
        lines.append("lr_mult " + ", ".join(f"{spec.lr_mult:g}" for spec in layer.param))
    phases = [PHASES[rule.phase] for rule in layer.include if rule.HasField("phase")]
    title = f"{layer.name} ({', '.join(phases)})" if phases else layer.name
    colour = _COLOURS.get(role_of(layer.type), _OTHER_COLOUR)
    return GraphNode(title, [line for line in lines if line], colour, layers=[layer.name])


def _kind(layer: LayerParameter) -> str:
    return f"{layer.type} {summary_of(layer)}".rstrip()


def _shape_text(shape: tuple[int, ...], batch: int) -> str:
    """Return the shape of one sample, or the whole shape if it does not begin with the batch."""
    one = shape[1:] if len(shape) > 1 and shape[0] == batch else shape
    return " x ".join(map(str, one)) if one != (batch,) else ""


def short_number(value: int) -> str:
    """Format a count with three digits and K, M or G: 431080 is 431K."""
    number, unit = float(value), ""
    for bigger in "KMG":
        if number < 999.5:
            break
        number, unit = number / 1000, bigger
    return f"{number:.3g}{unit}"
