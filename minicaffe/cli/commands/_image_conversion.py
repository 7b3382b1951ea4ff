"""Conversion of listed images to records of a database, for the commands that write one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from minicaffe.cli.commands._file_counter import FileCounter
from minicaffe.cli.flags import Flags, flag
from minicaffe.cli.item_progress import with_progress
from minicaffe.cli.options.files import database_backend
from minicaffe.data.datum import encode_datum, encoded_datum
from minicaffe.data.db import create_database
from minicaffe.data.image import (
    Pixels,
    decode_image,
    encode_image,
    image_format,
    is_turned_by_exif,
    read_image,
    resize,
)
from minicaffe.data.ordered_pool import mapped_in_order
from minicaffe.data.survey import DatasetSurvey
from minicaffe.errors import DataError
from minicaffe.log import logger


class ListEntry(Protocol):
    """A line of a list."""

    @property
    def name(self) -> str:
        """The path of an image below the root folder; part of the key."""

    @property
    def label(self) -> int | None:
        """The label of the image; None if it has boxes instead."""


E = TypeVar("E", bound=ListEntry)


class Converted(NamedTuple):
    """A serialized record, and what the summary has of it.

    Parameters
    ----------
    value : bytes
    shape : tuple of int
        Of the image: channels, rows, columns.
    label : int
    boxes : tuple of int, or None
        The labels of the boxes of an image that has boxes instead of a label.
    """

    value: bytes
    shape: tuple[int, ...]
    label: int
    boxes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Resizing:
    """The size of converted images.

    Attributes
    ----------
    height, width : int
        The size to resize to; 0: no resizing.
    least, most : int
        If one is not 0: enlarge an image whose short side is below `least`, then reduce it if the
        long side is above `most`; height and width do not count.
    """

    height: int = 0
    width: int = 0
    least: int = 0
    most: int = 0

    def __call__(self, image: Pixels) -> Pixels:
        """Return an image, resized."""
        return resize(image, *self._size(image.shape[1:]))

    def _size(self, given: tuple[int, ...]) -> tuple[int, int]:
        height, width = given
        if not (self.least or self.most):
            return (self.height, self.width) if self.height and self.width else (height, width)
        factor = max(1.0, self.least / min(given))
        if self.most and int(factor * max(given)) > self.most:
            factor = self.most / max(given)
        return int(np.rint(height * factor)), int(np.rint(width * factor))


@dataclass(frozen=True)
class Conversion:
    """Conversion of an image file to a Datum.

    Attributes
    ----------
    root : str
        Prefix of every name.
    color : bool
        Whether to store three channels; False: one, grey.
    resizing : Resizing
    encoded : bool
        Whether to store the bytes of an image file instead of pixels.
    kind : str
        Type of that file (jpg, png); empty: the type of the source.
    has_shape : bool
        Whether the record of an encoded image has its shape.
    """

    root: str
    color: bool
    resizing: Resizing
    encoded: bool
    kind: str
    has_shape: bool = False

    def read(self, name: str) -> Pixels:
        """Return the image of a name, not resized."""
        return read_image(self.path(name), self.color)

    def datum(self, name: str, image: Pixels, label: int) -> Converted:
        """Return the record of an image that `read` returned."""
        resized = self.resizing(image)
        if not self.encoded:
            return Converted(encode_datum(resized, label), resized.shape, label)
        own = Path(name).suffix[1:].lower()
        kind = self.kind or own
        content = Path(self.path(name)).read_bytes()
        # An equal shape means that nothing was resized.
        if resized.shape != image.shape or not self._can_copy_file(content, own, kind):
            content = encode_image(resized, kind)
        shape = resized.shape if self.has_shape else ()
        return Converted(encoded_datum(content, label, shape), resized.shape, label)

    def path(self, name: str) -> str:
        """Return the path of a name; Caffe concatenates, here a missing slash is added."""
        plain, joined = self.root + name, str(Path(self.root, name))
        return joined if not Path(plain).exists() and Path(joined).exists() else plain

    def _can_copy_file(self, content: bytes, own: str, kind: str) -> bool:
        # Readers of encoded images, as Caffe's, ignore the orientation.
        if is_turned_by_exif(content) or own not in equivalent_extensions(kind):
            return False
        return self.color or decode_image(content, None, "").shape[0] == 1


def equivalent_extensions(kind: str) -> set[str]:
    """Return the file extensions of the image type that `kind` is an extension of."""
    return {"jpg", "jpeg"} if kind.lower() in ("jpg", "jpeg") else {kind.lower()}


class ConversionFlags(Flags):
    """Flags that the commands share."""

    gray: bool = flag(help="store grey images")
    shuffle: bool = flag(help="shuffle the list (every run gives the same order)")
    backend: str = database_backend("lmdb")
    resize_width: int = flag(default=0, help="columns to resize to (0: do not resize)")
    resize_height: int = flag(default=0, help="rows to resize to (0: do not resize)")
    check_size: bool = flag(help="fail if images differ in size")
    encoded: bool = flag(help="store the bytes of an image file instead of pixels")
    encode_type: str = flag(help="type of that file: png or jpg (default: as the source)")

    def stores_files(self) -> bool:
        """Return whether image files are stored, also if only their type is given."""
        if not self.encode_type:
            return self.encoded
        image_format(self.encode_type)
        if not self.encoded:
            logger.info("encode_type specified, assuming encoded=true.")
        return True

    def resizing(self) -> Resizing:
        """Return the resizing to a size; warn if only one side is given."""
        if self.resize_height > 0 and self.resize_width > 0:
            return Resizing(self.resize_height, self.resize_width)
        if self.resize_height or self.resize_width:
            logger.warning("Images are not resized: give both --resize_height and --resize_width.")
        return Resizing()


@dataclass(frozen=True)
class Destination:
    """The database to write.

    Attributes
    ----------
    path : str
    backend : str
        lmdb or leveldb.
    check_size : bool
        Whether images that differ in size are an error.
    """

    path: str
    backend: str
    check_size: bool


def convert_images(
    entries: Sequence[E],
    convert: Callable[[E], Converted],
    destination: Destination,
    root: str,
) -> DatasetSurvey:
    """Convert images on all cores, store them in order, and return what was stored.

    `root` is the folder for messages.
    """
    processed, survey = FileCounter(), DatasetSurvey(destination.path)
    first: tuple[E, Converted] | None = None
    with create_database(destination.path, destination.backend) as database:
        results = with_progress(mapped_in_order(convert, entries), "images", len(entries))
        for index, (entry, future) in enumerate(results):
            try:
                converted = future.result()
            except DataError as error:
                logger.error("skipped: %s", error)
                survey.skip(entry.label)
                continue
            first = first or (entry, converted)
            if destination.check_size and converted.shape != first[1].shape:
                raise DataError(_other_size(entry, converted, *first))
            key = f"{index:08d}_{entry.name}".encode("utf-8", "surrogateescape")
            database.put(key, converted.value)
            processed.add()
            if converted.boxes is None:
                survey.add(converted.label, converted.shape)
            else:
                survey.add_boxes(converted.boxes, converted.shape)
        if not database.count:
            raise DataError(
                f"none of the {len(entries)} images could be read; is ROOTFOLDER {root!r} correct? "
                "It is the prefix of every path in the list."
            )
        processed.finish()
    if survey.n_skipped:
        logger.warning("%d of %d images could not be read.", survey.n_skipped, len(entries))
    return survey


def _other_size(
    entry: ListEntry, converted: Converted, first: ListEntry, first_one: Converted
) -> str:
    shapes = [" x ".join(map(str, one.shape)) for one in (converted, first_one)]
    return (
        f"{entry.name}: the image is {shapes[0]} (channels x rows x columns), {first.name} is "
        f"{shapes[1]}; --check_size requires one size. Use --resize_height and --resize_width."
    )
