"""Batches of one image with its true boxes, from a folder as PASCAL VOC has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicaffe.data.annotations.annotation_files import read_boxes
from minicaffe.data.annotations.object_box import AnnotationType
from minicaffe.data.batch_source import DividedBatches, Floats
from minicaffe.data.image import Pixels, read_image
from minicaffe.data.pixels.resizing import resize_by_sides
from minicaffe.data.records.base import RecordPosition
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.random import RandomStream
from minicaffe.text_file import read_text

_SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp")


@dataclass(frozen=True)
class VocImages:
    """A set of images of a folder, and how they are prepared.

    Parameters
    ----------
    folder : str
        With JPEGImages, Annotations (XML) and ImageSets/Main.
    image_set : str
        The name of a list in ImageSets/Main.
    labels : mapping
        Labels by the names of classes, from 1.
    mean : tuple of float
        Blue, green, red; subtracted.
    sizes : tuple of int
        Lengths of the short side after resizing, in pixels; one is drawn at random.
    longest : int
        The largest length of the long side.
    flips : bool
        Whether each image occurs mirrored as well.
    """

    folder: str
    image_set: str
    labels: Mapping[str, int]
    mean: tuple[float, ...]
    sizes: tuple[int, ...]
    longest: int
    flips: bool


class VocBatches(DividedBatches):
    """Images, their sizes and true boxes, in a new random order in each round.

    The tops are the image (1, 3, rows, columns), [rows, columns, scale] (1, 3), and rows [x1, y1,
    x2, y2, label] (G, 5) in pixels of the resized image, without the objects that are difficult.

    Parameters
    ----------
    images : VocImages
    random : RandomStream or None
        For order and sizes; None for the order of the list, the first size and no mirrored images.
    rows : BatchRows
        Of one row a part.

    Raises
    ------
    DataError
        If the list cannot be read or is empty.
    """

    def __init__(self, images: VocImages, random: RandomStream | None, rows: BatchRows) -> None:
        super().__init__(rows)
        self._images, self._random = images, random
        path = Path(images.folder) / "ImageSets" / "Main" / f"{images.image_set}.txt"
        # A list of a class has a column with 1 or -1 beside the names.
        lines = read_text(path, "the list of images").splitlines()
        self._names = [line.split()[0] for line in lines if line.strip()]
        if not self._names:
            raise DataError(f"{path}: the list of images is empty")
        self._copies = 2 if images.flips and random is not None else 1
        self._round = self._next = 0
        self._order = self._new_order()
        self.shapes = [values.shape for values in self._load(0)]

    def _make(self, rows: slice) -> tuple[tuple[Floats, ...], Sequence[bytes]]:
        """Return the next image; after the last one a new round begins."""
        item = int(self._order[self._next])
        tops, key = self._load(item), self._names[item // self._copies].encode()
        self._skip_rows(1)
        return tops, [key]

    def _skip_rows(self, n: int) -> None:
        rounds, self._next = divmod(self._next + n, len(self._order))
        if rounds:
            self._round += rounds
            self._order = self._new_order()

    def count_samples(self, limit: int) -> int | None:
        """Return the number of images, mirrored ones included."""
        return min(limit, len(self._order))

    def _place(self) -> RecordPosition:
        return {"round": self._round, "next": self._next}

    def _go_to(self, position: RecordPosition) -> None:
        self._round, self._next = int(position["round"]), int(position["next"])
        self._order = self._new_order()

    def _generator(self) -> np.random.Generator | None:
        """Return the generator of the present round."""
        if self._random is None:
            return None
        return RandomStream(self._random.seed, self._random.name, self._round).generator()

    def _new_order(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the items of the present round."""
        n, generator = len(self._names) * self._copies, self._generator()
        return np.arange(n) if generator is None else generator.permutation(n)

    def _load(self, item: int) -> tuple[Floats, ...]:
        """Return the tops of an item."""
        images, name = self._images, self._names[item // self._copies]
        image = read_image(self._image_path(name))
        path = Path(images.folder) / "Annotations" / f"{name}.xml"
        boxes = self._boxes(path, (image.shape[1], image.shape[2]))
        if item % self._copies:
            image = image[:, :, ::-1]
            boxes[:, [0, 2]] = image.shape[2] - 1 - boxes[:, [2, 0]]
        scale, image = self._resized(image, item)
        boxes[:, :4] *= scale
        values = image.astype(np.float32) - np.array(images.mean, np.float32)[:, None, None]
        info = np.array([[*image.shape[1:], scale]], np.float32)
        return values[None], info, boxes.astype(np.float32)

    def _boxes(self, path: Path, size: tuple[int, int]) -> Floats:
        """Return rows [x1, y1, x2, y2, label] in pixels from 0, difficult objects left out."""
        found = read_boxes(str(path), AnnotationType.XML, size, self._images.labels)
        rows, columns = size
        sides = np.array([columns, rows, columns, rows])
        # VOC counts pixels from 1.
        boxes = [
            [*(np.array(box.sides) * sides - 1), box.label] for box in found if not box.is_difficult
        ]
        return np.array(boxes, np.float32).reshape(-1, 5)

    def _resized(self, image: Pixels, item: int) -> tuple[float, Pixels]:
        """Return the scale and the resized image."""
        images = self._images
        size = images.sizes[0]
        if self._random is not None and len(images.sizes) > 1:
            name = f"{self._random.name}/size/{item}"
            draws = RandomStream(self._random.seed, name, self._round).generator()
            size = int(draws.choice(images.sizes))
        return resize_by_sides(image, size, images.longest)

    def _image_path(self, name: str) -> Path:
        """Return the file of an image."""
        path = Path(self._images.folder) / "JPEGImages" / name
        found = [path.with_name(name + suffix) for suffix in _SUFFIXES]
        return next((file for file in found if file.exists()), found[0])
