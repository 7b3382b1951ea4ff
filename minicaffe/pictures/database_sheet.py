"""Contact sheet of records of a database: images with labels, or with boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image

from minicaffe.data.class_names import ClassNames
from minicaffe.data.databases.sample import SampledImage
from minicaffe.data.datum import ImageArray
from minicaffe.pictures.boxes import LabelledBox, draw_boxes
from minicaffe.pictures.grid import Pixels, contact_sheet, to_pixels

_COLUMNS = 8
_COLOURS = 256  # of the palette


def draw_records(records: Sequence[SampledImage], names: ClassNames, title: str) -> Image.Image:
    """Draw images in a grid; below each its label, or the classes of its boxes, key and shape."""
    captions = [
        (_labels(record, names), _short_key(record.key), " x ".join(map(str, record.image.shape)))
        for record in records
    ]
    return contact_sheet([record_pixels(record) for record in records], captions, title, _COLUMNS)


def _labels(record: SampledImage, names: ClassNames) -> str:
    if record.objects is None:
        return names[record.label]
    counted = Counter(names[label] for label in record.labels)
    return ", ".join(f"{n} {x}" if n > 1 else x for x, n in counted.items()) or "no box"


def _short_key(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace").rpartition("/")[2]


def record_pixels(record: SampledImage) -> Pixels:
    """Return an image to show: grey or colour; channels of other numbers beside each other."""
    pixels = _bytes(record.image)
    if len(pixels) == 4:  # the fourth is transparency
        pixels = pixels[:3]
    if len(pixels) not in (1, 3):
        return np.hstack(list(pixels))
    if record.objects is None or not len(record.objects):
        return pixels if len(pixels) == 3 else pixels[0]
    rows, columns = pixels.shape[1:]
    corners = record.objects[:, 2:6] * np.array([columns, rows, columns, rows], np.float32)
    boxes = [
        LabelledBox(label % _COLOURS, "", (x0, y0, x1, y1))
        for label, (x0, y0, x1, y1) in zip(record.labels, corners.tolist(), strict=True)
    ]
    return np.asarray(draw_boxes(pixels, boxes)).transpose(2, 0, 1)[::-1]


def _bytes(image: ImageArray) -> Pixels:
    """Return values as bytes: floats from the least, black, to the largest, white."""
    finite = image[np.isfinite(image)]
    if image.dtype == np.uint8 or not finite.size:
        return image.astype(np.uint8, copy=False)
    return to_pixels(image.astype(np.float64), float(finite.min()), float(finite.max()))
