"""Write the time of every line of a log that names an iteration, in seconds since the beginning.

Example:
  minicaffe extract_seconds lenet.log lenet.seconds
"""

from __future__ import annotations

import argparse

from minicaffe.analysis.training_log import iteration_seconds
from minicaffe.atomic_file import write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input", metavar="LOG", help="the log of a training")
    parser.add_argument("output", metavar="OUTPUT", help="file to write, one number a line")


def run(args: argparse.Namespace) -> int:
    """Read the log, write the numbers."""
    times = iteration_seconds(args.input)
    with write_atomically(args.output) as file:
        file.writelines(f"{seconds:f}\n".encode() for seconds in times)
    return 0
