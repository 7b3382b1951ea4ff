"""What commands that measure nets share: the shape of data that is not there, and warnings."""

from __future__ import annotations

import argparse

from minicaffe.analysis.sizes import NetSizes
from minicaffe.errors import UsageError
from minicaffe.log import logger


def add_input_shape(parser: argparse.ArgumentParser) -> None:
    """Declare --input_shape."""
    parser.add_argument(
        "--input_shape",
        default="",
        metavar="C,H,W",
        help="shape of pictures whose database is not there",
    )


def picture_shape(text: str) -> tuple[int, ...]:
    """Return what --input_shape says, () if nothing."""
    parts = text.replace("x", ",").split(",") if text else []
    if text and (len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts)):
        raise UsageError(f"--input_shape={text}: must be channels, rows and columns, as 3,224,224")
    return tuple(map(int, parts))


def warn_of_guesses(sizes: NetSizes) -> None:
    """Say what was assumed about a net, or why its shapes are not known."""
    for name, shape in sizes.assumed.items():
        text = " x ".join(map(str, shape))
        logger.warning(f'layer "{name}": its data is not there; its batches are taken as {text}')
    if sizes.problem:
        logger.warning(f"shapes are left out: {sizes.problem}")
