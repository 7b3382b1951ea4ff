"""What the three upgrade_* commands share: their arguments, exit codes and way of writing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import SchemaError

UNREADABLE = 2  # the exit code that Caffe's upgrade tools have for a file they cannot parse


def add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare INPUT and OUTPUT."""
    parser.add_argument("input", metavar="INPUT", help=f"the old {what}")
    parser.add_argument("output", metavar="OUTPUT", help="the file to write; may be INPUT")


@contextmanager
def reading() -> Iterator[None]:
    """Give errors of the block the exit code of a file that cannot be read."""
    try:
        yield
    except SchemaError as error:
        error.exit_code = UNREADABLE
        raise


def write(path: str, content: bytes) -> None:
    """Write the file as a whole, or leave what was there."""
    with write_atomically(path) as file:
        file.write(content)
