"""Draw a net as a graph with shapes, parameters and multiply-adds.

A layer that works in place is drawn in the node of the layer whose top it changes. Shapes and
multiply-adds are those of one sample. Only the prototxt is needed: if the database does not exist,
its images have the size of crop_size, or of --input_shape.

Example:
  minicaffe draw models/googlenet/deploy.prototxt googlenet.svg
  minicaffe draw models/lenet/lenet_train_test.prototxt lenet.png --input_shape 1,28,28 --rankdir LR
"""

from __future__ import annotations

from pathlib import Path

from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.cli.options.input_shape import InputShapeFlags, warn_of_assumed_shapes
from minicaffe.cli.options.net_state import phase_flag
from minicaffe.log import logger
from minicaffe.pictures.graph_drawing import draw_graph
from minicaffe.pictures.graph_layout import DIRECTIONS
from minicaffe.pictures.net_drawing import graph_of
from minicaffe.pictures.net_graph import PHASES
from minicaffe.schema import read_net


def direction_flag(default: str) -> str:
    """Declare the flag --rankdir."""
    declaration: str = flag(
        choices=DIRECTIONS,
        type=str.upper,
        default=default,
        help="direction of the arrows: TB (top to bottom), LR (left to right), ...",
    )
    return declaration


class GraphFlags(Flags):
    """Flags of draw and draw_net."""

    rankdir: str = direction_flag("TB")
    phase: str = phase_flag("ALL", "ALL")
    display_lrm: bool = flag(help="show the learning-rate multipliers")


class DrawFlags(GraphFlags, InputShapeFlags):
    """Flags of the command."""

    net: str = positional(metavar="NET", help="net prototxt")
    output: str | None = positional(
        metavar="OUTPUT", nargs="?", help=".svg or .png (default: NET's name with .svg)"
    )


def run(flags: DrawFlags) -> int:
    """Draw."""
    output = flags.output or f"{Path(flags.net).stem}.svg"
    return draw_net_file(flags.net, output, flags, flags.image_shape())


def draw_net_file(
    net: str, output: str, flags: GraphFlags, image_shape: tuple[int, ...] = ()
) -> int:
    """Draw the net of a prototxt to a file; return the exit code."""
    phases = PHASES if flags.phase == "ALL" else (flags.phase,)
    graph, sizes = graph_of(read_net(net), phases, image_shape, flags.display_lrm)
    warn_of_assumed_shapes(sizes)
    draw_graph(graph, output, flags.rankdir)
    logger.info("Wrote %s", output)
    return 0
