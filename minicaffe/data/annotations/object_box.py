"""Objects in images: a class and a box each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Sides: TypeAlias = tuple[float, float, float, float]


class AnnotationType(Enum):
    """Kinds of files with the boxes of an image, by the suffix that SSD's tools have for them."""

    XML = "xml"
    JSON = "json"
    TXT = "txt"


@dataclass(frozen=True, slots=True)
class ObjectBox:
    """An object of an image.

    Parameters
    ----------
    label : int
    sides : tuple of float
        xmin, ymin, xmax, ymax in units of the image's width and height.
    is_difficult : bool
    """

    label: int
    sides: Sides
    is_difficult: bool = False


def unusual_box(sides: Sides) -> str:
    """Return what is unusual about a box; "" if nothing is."""
    if min(sides) < 0 or max(sides) > 1:
        return "a box exceeds the image"
    if sides[0] > sides[2] or sides[1] > sides[3]:
        return "the sides of a box are exchanged"
    return ""


def scaled(pixels: Sequence[float], width: int, height: int) -> Sides:
    """Return xmin, ymin, xmax, ymax of pixels in units of the image's width and height."""
    xmin, ymin, xmax, ymax = pixels
    return xmin / width, ymin / height, xmax / width, ymax / height
