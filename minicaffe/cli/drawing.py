"""Drawing a net from its prototxt: what draw and draw_net share."""

from __future__ import annotations

import argparse

from minicaffe import log
from minicaffe.cli.measuring import picture_shape, warn_of_guesses
from minicaffe.log import logger
from minicaffe.net.filter import filter_layers
from minicaffe.net.sizes import measure
from minicaffe.pictures.graph_drawing import draw_graph
from minicaffe.pictures.graph_layout import DIRECTIONS
from minicaffe.pictures.net_graph import PHASES, net_graph
from minicaffe.schema import NetSource, NetState, read_net


def add_arguments(parser: argparse.ArgumentParser, direction: str) -> None:
    """Declare the flags; `direction` is the default one."""
    parser.add_argument(
        "--rankdir",
        choices=DIRECTIONS,
        type=str.upper,
        default=direction,
        help="which way the net runs: top to bottom, left to right, ... (%(default)s)",
    )
    parser.add_argument(
        "--phase",
        choices=("TRAIN", "TEST", "ALL"),
        type=str.upper,
        default="ALL",
        help="the phase whose layers to draw (%(default)s)",
    )
    parser.add_argument(
        "--display_lrm", action="store_true", help="show the learning-rate multipliers"
    )


def draw(args: argparse.Namespace, net: str, output: str, input_shape: str = "") -> None:
    """Read, measure, draw, write."""
    source = read_net(net)
    phases = PHASES if args.phase == "ALL" else (args.phase,)
    sizes = {p: measure(source, NetState(phase=p), picture_shape(input_shape)) for p in phases}
    warn_of_guesses(sizes[phases[0]])
    kept = _kept(source, phases)
    graph = net_graph(source, kept, sizes, args.display_lrm)
    draw_graph(graph, output, args.rankdir)
    logger.info("Wrote %s", output)


def _kept(source: NetSource, phases: tuple[str, ...]) -> dict[int, set[str]]:
    """Return the layers of some phases, by index, with the phases that each belongs to."""
    kept: dict[int, set[str]] = {}
    with log.quietly():
        for phase in phases:
            for node in filter_layers(source, NetState(phase=phase)):
                if node.index is not None:
                    kept.setdefault(node.index, set()).add(phase)
    return dict(sorted(kept.items()))
