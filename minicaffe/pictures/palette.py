"""Colours of classes: the palette of label images, as PASCAL VOC has it."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

_BITS = 8


def label_png(labels: npt.NDArray[np.uint8]) -> bytes:
    """Return a PNG file with this palette, whose pixels are labels, (1, rows, columns)."""
    image = Image.fromarray(labels[0], "P")
    image.putpalette(class_palette().tobytes())
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def class_palette() -> npt.NDArray[np.uint8]:
    """Return the colour of each label, uint8, shape (256, 3): red, green, blue.

    The bits of a label, from the lowest, go in turns to red, green and blue, each from its highest
    bit down: 0 is black, 1 dark red, 2 dark green, 3 olive, 255 a light grey.
    """
    labels = np.arange(1 << _BITS)[:, None, None]
    bits = np.arange(_BITS)
    taken = labels >> (3 * bits + np.arange(3)[:, None]) & 1
    return np.asarray((taken << (_BITS - 1 - bits)).sum(axis=2), np.uint8)
