"""Flag --input_shape: the image shape to assume where a net's database does not exist."""

from __future__ import annotations

from minicaffe.analysis.sizes import NetSizes
from minicaffe.cli.flags import Flags, flag
from minicaffe.errors import UsageError
from minicaffe.log import logger


class InputShapeFlags(Flags):
    """Flag of commands that compute the shapes of a net from its prototxt alone."""

    input_shape: str = flag(
        metavar="C,H,W", help="shape of the images if their database does not exist"
    )

    def image_shape(self) -> tuple[int, ...]:
        """Return channels, rows and columns; () if the flag is not given.

        Raises
        ------
        UsageError
            If the value is not three positive integers.
        """
        text = self.input_shape
        parts = text.replace("x", ",").split(",") if text else []
        if text and (len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts)):
            raise UsageError(
                f"--input_shape={text}: must be channels, rows and columns, as 3,224,224"
            )
        return tuple(map(int, parts))


def warn_of_assumed_shapes(sizes: NetSizes) -> None:
    """Log the shapes that were assumed for a net's data, and why other shapes are unknown."""
    for note in sizes.notes():
        logger.warning(note)
