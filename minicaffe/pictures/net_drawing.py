"""From a net to its graph: choose the layers, measure them, put them into boxes."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe import log
from minicaffe.analysis.sizes import NetSizes, measure
from minicaffe.net.include_rules import filter_layers
from minicaffe.ops.backend import Shape
from minicaffe.pictures.net_graph import Graph, net_graph
from minicaffe.schema import NetSource, NetState


def graph_of(
    source: NetSource, phases: Sequence[str], picture: Shape = (), rates: bool = False
) -> tuple[Graph, NetSizes]:
    """Return the graph of a net, and the sizes of its first phase.

    Parameters
    ----------
    source : NetSource
    phases : sequence of str
        TRAIN, TEST or both: the layers of which phases to show.
    picture : tuple of int
        Channels, rows and columns of pictures whose source is not there; see `measure`.
    rates : bool
        Whether to show learning-rate multipliers.
    """
    sizes = {phase: measure(source, NetState(phase=phase), picture) for phase in phases}
    graph = net_graph(source, _kept(source, phases), sizes, rates)
    return graph, sizes[phases[0]]


def _kept(source: NetSource, phases: Sequence[str]) -> dict[int, set[str]]:
    """Return the layers of some phases, by index, with the phases that each belongs to."""
    kept: dict[int, set[str]] = {}
    with log.suppress_info():
        for phase in phases:
            for node in filter_layers(source, NetState(phase=phase)):
                if node.index is not None:
                    kept.setdefault(node.index, set()).add(phase)
    return dict(sorted(kept.items()))
