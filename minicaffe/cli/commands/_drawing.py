"""Drawing a net from its prototxt: what draw and draw_net share."""

from __future__ import annotations

import argparse

from minicaffe.cli.options.input_shape import picture_shape, warn_of_guesses
from minicaffe.log import logger
from minicaffe.pictures.graph_drawing import draw_graph
from minicaffe.pictures.graph_layout import DIRECTIONS
from minicaffe.pictures.net_drawing import graph_of
from minicaffe.pictures.net_graph import PHASES
from minicaffe.schema import read_net


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
    phases = PHASES if args.phase == "ALL" else (args.phase,)
    graph, sizes = graph_of(read_net(net), phases, picture_shape(input_shape), args.display_lrm)
    warn_of_guesses(sizes)
    draw_graph(graph, output, args.rankdir)
    logger.info("Wrote %s", output)
