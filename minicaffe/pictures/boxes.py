"""Images with boxes around objects, by Pillow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from PIL import Image, ImageDraw

from minicaffe.pictures.font import font
from minicaffe.pictures.grid import Pixels, tile_image
from minicaffe.pictures.palette import class_palette

_SMALLEST_TEXT_PX, _TEXT_SHARE = 10, 1 / 30  # height of text, as a share of the image's
_LINE_SHARE = 1 / 6  # width of lines, as a share of the text's height
_BRIGHT = 128  # mean of the colours on which text is black


class LabelledBox(NamedTuple):
    """A box in an image.

    Attributes
    ----------
    label : int
        The class, 0 .. 255; gives the colour.
    text : str
        Written at the box's upper left corner.
    corners : (float, float, float, float)
        xmin, ymin, xmax, ymax, pixels.
    """

    label: int
    text: str
    corners: tuple[float, float, float, float]


def draw_boxes(pixels: Pixels, boxes: Iterable[LabelledBox]) -> Image.Image:
    """Draw boxes on an image, (1 or 3: blue, green, red; rows, columns); later ones lie on top."""
    image = tile_image(pixels if len(pixels) == 3 else pixels[0]).convert("RGB")
    size = max(_SMALLEST_TEXT_PX, round(image.height * _TEXT_SHARE))
    pen = ImageDraw.Draw(image)
    for label, text, (left, top, right, bottom) in boxes:
        red, green, blue = class_palette()[label].tolist()
        colour = red, green, blue
        width = round(size * _LINE_SHARE)
        pen.rectangle((left, top, right, bottom), outline=colour, width=width)
        at = max(left, 0), max(top, 0)
        type_face = font(size, text)
        pen.rectangle(pen.textbbox(at, text, type_face), fill=colour)
        ink = "black" if sum(colour) > 3 * _BRIGHT else "white"
        pen.text(at, text, ink, type_face)
    return image
