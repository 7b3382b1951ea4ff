"""Batches of images with label maps, for MS-CNN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicaffe.data.annotations.field_labels import FieldMap, Numbers, label_maps
from minicaffe.data.batch_source import DividedBatches, Floats
from minicaffe.data.image import Pixels, read_image
from minicaffe.data.pixels.resizing import resize
from minicaffe.data.records.base import RecordPosition
from minicaffe.data.records.box_file import BoxedImage, read_box_file
from minicaffe.distributed.parts import BatchRows
from minicaffe.random import RandomStream, checked_step

# Steps of random sizes an octave, of random aspects; the largest enlargement of a whole image; by
# how many pixels crops are moved at random.
_PER_OCTAVE, _ASPECT_STEP, _LARGEST_SCALE, _MOST_SHIFT = 2, 0.05, 1.5, 10
# The only true box of a batch without one: image, corners, class, ignored.
_NO_BOX = [[0, 1, 1, 2, 2, 1, 1]]


@dataclass(frozen=True)
class FieldImages:
    """Settings of batches; sizes are rows and columns.

    Parameters
    ----------
    source, root_folder : str
    rows : BatchRows
        Images a batch.
    resized : tuple of int or None
    size : tuple of int or None
        Of the net's input; None for the first image's.
    fields : tuple of tuple
        Pixels of a cell, height and width of the field, for each map.
    least_overlap : float
        Above which a field shows an object.
    smallest : tuple of float
        Height and width of objects below which they are ignored.
    sizes, aspects : tuple of float or None
        Range of random sizes of an object, and of its width over height.
    mean : tuple of float
    scale : float
    mirrors, shuffles : bool
    copies : int
        How often an image with objects occurs.
    """

    source: str
    root_folder: str
    rows: BatchRows
    resized: tuple[int, int] | None
    size: tuple[int, int] | None
    fields: tuple[tuple[int, float, float], ...]
    least_overlap: float
    smallest: tuple[float, float]
    sizes: tuple[float, float] | None
    aspects: tuple[float, float] | None
    mean: tuple[float, ...]
    scale: float
    mirrors: bool
    shuffles: bool
    copies: int


@dataclass
class _Scene:
    """An image with its boxes while it is changed; boxes are x1, y1, x2, y2."""

    image: Pixels
    objects: Numbers
    regions: Numbers

    def move(self, scale: tuple[float, float], shift: tuple[float, float]) -> None:
        """Scale and then shift the boxes, both x and y."""
        self.objects[:, 2:] = self.objects[:, 2:] * (scale * 2) + shift * 2
        self.regions[:] = self.regions * (scale * 2) + shift * 2

    def mirror(self) -> None:
        """Exchange left and right."""
        width = self.image.shape[2]
        self.image = self.image[:, :, ::-1]
        for boxes in (self.objects[:, 2:], self.regions):
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]

    def resize(self, rows: int, columns: int) -> None:
        """Resize the image and the boxes."""
        old_rows, old_columns = self.image.shape[1:]
        self.move((columns / old_columns, rows / old_rows), (0.0, 0.0))
        self.image = resize(self.image, rows, columns)

    def cut(self, x: int, y: int, columns: int, rows: int) -> None:
        """Leave a part of the image only."""
        self.image = self.image[:, y : y + rows, x : x + columns]
        self.move((1.0, 1.0), (-x, -y))


class FieldBatches(DividedBatches):
    """Images, label maps and true boxes: tops are images, maps, boxes (G, 7, 1, 1).

    Each image is cut at random around one of its objects, or padded with zeros, to the net's size.

    Parameters
    ----------
    images : FieldImages
    random : RandomStream
        Seed and name of the random numbers.

    Raises
    ------
    DataError
        If the list or the first image cannot be read.
    """

    def __init__(self, images: FieldImages, random: RandomStream) -> None:
        super().__init__(images.rows)
        self._settings, self._random = images, random
        self._images = [
            image
            for image in read_box_file(images.source)
            for _ in range(images.copies if (image.objects[:, 1] == 0).any() else 1)
        ]
        self._taken = 0
        self._size = images.size or images.resized or self._read(self._images[0]).shape[1:]
        rows, columns = self._size
        self._maps = [
            FieldMap(round(rows / step), round(columns / step), step, height, width)
            for step, height, width in images.fields
        ]
        n = images.rows.size
        maps = [(n, 6, m.rows, m.columns) for m in self._maps]
        self.shapes = [(n, 3, rows, columns), *maps, (1, 7, 1, 1)]

    def _make(self, rows: slice) -> tuple[tuple[Floats, ...], Sequence[bytes]]:
        parts, boxes, keys = [], [], []
        for n in range(self._rows.size):
            image = self._image()
            values, labels, objects = self._prepare(image, self._generator("image", self._taken))
            self._taken += 1
            parts.append((values, *labels))
            boxes += [[n, *row[2:], row[0], row[1]] for row in objects]
            keys.append(image.path.encode())
        tops = [np.stack(part).astype(np.float32) for part in zip(*parts, strict=True)]
        truths = np.array(boxes or _NO_BOX, np.float32)[:, :, None, None]
        return (*tops, truths), keys

    def count_samples(self, limit: int) -> int | None:
        """Return the number of images."""
        return min(limit, len(self._images))

    def _skip_rows(self, n: int) -> None:
        self._taken += n

    def _place(self) -> RecordPosition:
        return {"taken": self._taken}

    def _go_to(self, position: RecordPosition) -> None:
        self._taken = checked_step(position["taken"])

    def _generator(self, purpose: str, step: int) -> np.random.Generator:
        name = f"{self._random.name}/{purpose}"
        return RandomStream(self._random.seed, name, step).generator()

    def _image(self) -> BoxedImage:
        """Return the next image of the list."""
        round_, at = divmod(self._taken, len(self._images))
        if self._settings.shuffles:
            at = int(self._generator("order", round_).permutation(len(self._images))[at])
        return self._images[at]

    def _read(self, image: BoxedImage) -> Pixels:
        return read_image(Path(self._settings.root_folder + image.path))

    def _prepare(
        self, image: BoxedImage, rng: np.random.Generator
    ) -> tuple[Floats, list[Numbers], Numbers]:
        """Return the pixels, the label maps and the objects of an image."""
        settings = self._settings
        scene = _Scene(self._read(image), image.objects.copy(), image.regions.copy())
        if settings.mirrors and rng.integers(2):
            scene.mirror()
        if settings.resized:
            scene.resize(*settings.resized)
        chosen = int(rng.integers(len(scene.objects))) if len(scene.objects) else None
        if settings.sizes and chosen is not None and rng.integers(2):
            self._rescale(scene, chosen, rng)
        values, window = self._placed(scene, chosen, rng)
        self._ignore(scene.objects)
        labels = label_maps(
            self._maps, scene.objects, scene.regions, window, settings.least_overlap
        )
        return values, labels, scene.objects

    def _rescale(self, scene: _Scene, chosen: int, rng: np.random.Generator) -> None:
        """Resize an image so that the chosen object has a random size of the range."""
        settings = self._settings
        low, high = settings.sizes or (1.0, 1.0)
        x1, y1, x2, y2 = scene.objects[chosen, 2:]
        width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
        steps = np.arange(round(_PER_OCTAVE * np.log2(high / low) + 1)) / _PER_OCTAVE
        nearest = np.abs(np.log2(np.sqrt(width * height) / low) - steps).argmin()
        factors = np.full(2, 2.0 ** (rng.choice(steps) - steps[nearest]))
        if settings.aspects and rng.integers(2):
            aspects = np.arange(*settings.aspects, _ASPECT_STEP)
            change, axis = rng.choice(aspects) / (width / height), int(rng.integers(2))
            change = 1 / change if axis else change
            if 0.8 * low <= (width, height)[axis] * factors[axis] * change <= 1.2 * high:
                factors[axis] *= change
        if factors.max() > _LARGEST_SCALE:  # only what can be seen is enlarged
            whole = np.array(scene.image.shape[:0:-1])
            part = np.minimum(np.rint(1.2 * whole / factors).astype(int), whole)
            center = np.array([x1 + x2, y1 + y2]) / 2
            first = np.clip(np.rint(center - part / 2).astype(int), 0, whole - part)
            scene.cut(*map(int, (*first, *part)))
        rows, columns = scene.image.shape[1:]
        scene.resize(max(round(rows * factors[1]), 1), max(round(columns * factors[0]), 1))

    def _placed(
        self, scene: _Scene, chosen: int | None, rng: np.random.Generator
    ) -> tuple[Floats, tuple[int, ...]]:
        """Cut the image around the chosen object, or pad it; return pixels and its window."""
        settings, size = self._settings, scene.image.shape[1:]
        center = [rng.integers(max(n, 1)) for n in size]
        if chosen is not None:
            x1, y1, x2, y2 = scene.objects[chosen, 2:]
            center = [round((y1 + y2) / 2), round((x1 + x2) / 2)]
        spans = zip(size, self._size, center, strict=True)
        (row, y, h), (column, x, w) = (_span(*span, rng) for span in spans)
        part = scene.image[:, row : row + h, column : column + w].astype(np.float32)
        mean = np.array(settings.mean or (0.0,), np.float32)[:, None, None]
        values = np.zeros((3, *self._size), np.float32)
        values[:, y : y + h, x : x + w] = (part - mean) * settings.scale
        scene.move((1.0, 1.0), (x - column, y - row))
        return values, (x, y, x + w, y + h)

    def _ignore(self, objects: Numbers) -> None:
        """Mark objects that are small, or whose center is outside, as ignored."""
        (rows, columns), (height, width) = self._size, self._settings.smallest
        x, y = ((objects[:, k] + objects[:, k + 2]) / 2 for k in (2, 3))
        is_outside = (x < 0) | (x >= columns) | (y < 0) | (y >= rows)
        sides = objects[:, 4:] - objects[:, 2:4] + 1
        objects[is_outside | (sides[:, 0] < width) | (sides[:, 1] < height), 1] = 1


def _span(length: int, size: int, center: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """Return the first pixel of an image, its place in an input, and the number of pixels.

    A longer image is cut around a center, a shorter one stands in the middle; both moved a little.
    """
    shift = int(rng.integers(-_MOST_SHIFT, _MOST_SHIFT))
    if length <= size:
        return 0, int(np.clip((size - length) // 2 + shift, 0, size - length)), length
    return int(np.clip(center + shift - size // 2, 0, length - size)), 0, size
