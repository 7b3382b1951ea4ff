"""Draw a net: its layers with settings, shapes, parameters and multiply-adds.

Layers that work in place stand in the box of the layer whose blob they change. Shapes and
multiply-adds are those of one sample. Nothing but the prototxt is needed: pictures whose database
is not there are taken to have the size that crop_size says, or --input_shape.

Example:
  minicaffe draw models/googlenet/deploy.prototxt googlenet.svg
  minicaffe draw models/lenet/lenet_train_test.prototxt lenet.png --input_shape 1,28,28 --rankdir LR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from minicaffe.cli.commands import _drawing as drawing
from minicaffe.cli.options.input_shape import add_input_shape


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("net", metavar="NET", help="the net prototxt")
    parser.add_argument(
        "output", metavar="OUTPUT", nargs="?", help=".svg or .png (default: NET's name with .svg)"
    )
    drawing.add_arguments(parser, "TB")
    add_input_shape(parser)


def run(args: argparse.Namespace) -> int:
    """Draw."""
    output = args.output or f"{Path(args.net).stem}.svg"
    drawing.draw(args, args.net, output, args.input_shape)
    return 0
