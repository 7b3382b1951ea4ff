"""Draw a net, with the arguments of Caffe's draw_net.py; no Graphviz is needed.

Example:
  minicaffe draw_net models/lenet/deploy.prototxt lenet.png --rankdir TB
"""

from __future__ import annotations

import argparse

from minicaffe.cli.commands import _drawing as drawing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input_net_proto_file", metavar="NET", help="the net prototxt")
    parser.add_argument("output_image_file", metavar="OUTPUT", help=".svg or .png")
    drawing.add_arguments(parser, "LR")


def run(args: argparse.Namespace) -> int:
    """Draw."""
    drawing.draw(args, args.input_net_proto_file, args.output_image_file)
    return 0
