"""Draw a net with the arguments of Caffe's draw_net.py.

Graphviz is not needed.

Example:
  minicaffe draw_net models/lenet/deploy.prototxt lenet.png --rankdir TB
"""

from __future__ import annotations

from minicaffe.cli.commands.draw import GraphFlags, direction_flag, draw_net_file
from minicaffe.cli.flags import positional


class DrawNetFlags(GraphFlags):
    """Flags of the command."""

    input_net_proto_file: str = positional(metavar="NET", help="net prototxt")
    output_image_file: str = positional(metavar="OUTPUT", help=".svg or .png")
    rankdir: str = direction_flag("LR")


def run(flags: DrawNetFlags) -> int:
    """Draw."""
    return draw_net_file(flags.input_net_proto_file, flags.output_image_file, flags)
