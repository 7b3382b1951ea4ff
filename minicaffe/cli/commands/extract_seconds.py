"""Write the elapsed seconds of every iteration line of a training log.

Example:
  minicaffe extract_seconds lenet.log lenet.seconds
"""

from __future__ import annotations

from minicaffe.analysis.training_log import iteration_seconds
from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import Flags, positional


class SecondsFlags(Flags):
    """Flags of the command."""

    input: str = positional(metavar="LOG", help="training log")
    output: str = positional(metavar="OUTPUT", help="file to write, one number per line")


def run(flags: SecondsFlags) -> int:
    """Read the log, write the numbers."""
    times = iteration_seconds(flags.input)
    with write_atomically(flags.output) as file:
        file.writelines(f"{seconds:f}\n".encode() for seconds in times)
    return 0
