"""Graph of a net for drawing: selects the layers of the phases and measures their sizes."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe import log
from minicaffe.analysis.sizes import NetSizes, measure
from minicaffe.net.include_rules import filter_layers
from minicaffe.ops.backend import Shape
from minicaffe.pictures.net_graph import Graph, net_graph
from minicaffe.schema import NetSource, NetState


def graph_of(
    source: NetSource, phases: Sequence[str], image_shape: Shape = (), rates: bool = False
) -> tuple[Graph, NetSizes]:
    """Return the graph of a net, and the sizes measured in its first phase.

    Parameters
    ----------
    source : NetSource
    phases : sequence of str
        TRAIN, TEST or both: the phases whose layers are shown.
    image_shape : tuple of int
        Channels, rows and columns of images whose database does not exist; see `measure`.
    rates : bool
        Whether to show learning-rate multipliers.
    """
    sizes = {phase: measure(source, NetState(phase=phase), image_shape) for phase in phases}
    graph = net_graph(source, _phases_of_layers(source, phases), sizes, rates)
    return graph, sizes[phases[0]]


def _phases_of_layers(source: NetSource, phases: Sequence[str]) -> dict[int, set[str]]:
    """Return the phases of each layer by its index, without layers that are in none of them."""
    found: dict[int, set[str]] = {}
    with log.suppress_info():
        for phase in phases:
            for node in filter_layers(source, NetState(phase=phase)):
                if node.index is not None:
                    found.setdefault(node.index, set()).add(phase)
    return dict(sorted(found.items()))
