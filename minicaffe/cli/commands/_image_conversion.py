"""Conversion of listed images to records of a database, for the commands that write one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from minicaffe import __version__
from minicaffe.cli.commands._file_counter import FileCounter
from minicaffe.cli.flags import Flags, flag
from minicaffe.cli.item_progress import with_progress
from minicaffe.cli.options.files import database_backend
from minicaffe.data.databases.resumable import resumable_database
from minicaffe.data.datum import encode_datum, encoded_datum
from minicaffe.data.image import (
    Pixels,
    decode_image,
    encode_image,
    image_format,
    is_turned_by_exif,
    read_image,
)
from minicaffe.data.ordered_pool import mapped_in_order
from minicaffe.data.pixels.resizing import resize
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

# Arguments and flags that no record depends on, and those whose contents are compared instead.
_NO_INPUTS = {"--root", "--list_file", "--database", "--check_size", "--check_label"}


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

    def count_in(self, survey: DatasetSurvey) -> None:
        """Count the image in a survey."""
        if self.boxes is None:
            survey.add(self.label, self.shape)
        else:
            survey.add_boxes(self.boxes, self.shape)


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
    scaled : bool
        See `minicaffe.data.image.Resized`; for a height and a width.
    """

    height: int = 0
    width: int = 0
    least: int = 0
    most: int = 0
    scaled: bool = False

    def __call__(self, image: Pixels) -> Pixels:
        """Return an image, resized."""
        return resize(image, *self._size(image.shape[1:]))

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """Rows and columns of all images; None if they depend on the image."""
        is_fixed = self.height and self.width and not (self.least or self.most)
        return (self.height, self.width) if is_fixed else None

    def _size(self, given: tuple[int, ...]) -> tuple[int, int]:
        height, width = given
        if not (self.least or self.most):
            return self.fixed_size or (height, width)
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

    def converted(self, name: str, label: int) -> Converted:
        """Return the record of the image of a name."""
        size = self.resizing.fixed_size
        if self.encoded or size is None:
            return self.datum(name, self.read(name), label)
        image = read_image(self.path(name), self.color, *size, self.resizing.scaled)
        return Converted(encode_datum(image, label), image.shape, label)

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


def _digest(lines: Sequence[str]) -> str:
    """Return a text that differs if lines of a file differ."""
    found = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape"))
    return f"a file of {len(lines)} lines, SHA-256 {found.hexdigest()[:16]}"


def equivalent_extensions(kind: str) -> set[str]:
    """Return the file extensions of the image type that `kind` is an extension of."""
    return {"jpg", "jpeg"} if kind.lower() in ("jpg", "jpeg") else {kind.lower()}


class ConversionFlags(Flags):
    """Flags that the commands share."""

    # Arguments, which each command declares: those of a base class would come last.
    root: str
    database: str

    gray: bool = flag(help="store grey images")
    shuffle: bool = flag(help="shuffle the list (every run gives the same order)")
    backend: str = database_backend("lmdb")
    resize_width: int = flag(default=0, help="columns to resize to (0: do not resize)")
    resize_height: int = flag(default=0, help="rows to resize to (0: do not resize)")
    check_size: bool = flag(help="fail if images differ in size")
    encoded: bool = flag(help="store the bytes of an image file instead of pixels")
    encode_type: str = flag(help="type of that file: png or jpg (default: as the source)")

    def destination(
        self, lines: Sequence[str], labels: Mapping[str, int] | None = None
    ) -> Destination:
        """Return the database to write.

        Parameters
        ----------
        lines : sequence of str
            The lines of the list, in the order of the records.
        labels : mapping, optional
            The contents of the label map.
        """
        settings = {f"--{name}": value for name, value in vars(self).items()}
        inputs = {
            "ROOTFOLDER": Path(self.root).absolute(),
            "LISTFILE": _digest(lines),
            **{name: value for name, value in settings.items() if name not in _NO_INPUTS},
            **({"--label_map_file": _digest(sorted(map(str, labels.items())))} if labels else {}),
            "the version of minicaffe": __version__,
            "the version of Pillow": version("pillow"),
        }
        texts = {
            name: "given" if value is True else str(value)
            for name, value in inputs.items()
            if value not in (False, "")
        }
        return Destination(self.database, self.backend, self.check_size, texts)

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
    inputs : mapping of str to str, or None
        What the records depend on, by the names of arguments and flags: an interrupted conversion
        is continued with the same inputs only. None: it begins again.
    """

    path: str
    backend: str
    check_size: bool
    inputs: Mapping[str, str] | None = None


def convert_images(
    entries: Sequence[E],
    convert: Callable[[E], Converted],
    destination: Destination,
    root: str,
) -> DatasetSurvey:
    """Convert images on all cores, store them in order, and return what was stored.

    A conversion that was interrupted is continued. `root` is the folder for messages.
    """
    with resumable_database(
        destination.path, destination.backend, destination.inputs, len(entries)
    ) as database:
        n_before = database.n_items
        processed, sizes = FileCounter(n_before=database.n_records), set(database.survey.shapes)
        results = mapped_in_order(convert, entries[n_before:])
        for entry, future in with_progress(results, "images", len(entries), n_before):
            try:
                converted = future.result()
            except DataError as error:
                logger.error("skipped: %s", error)
                database.batch.skip(entry.label)
                database.end_item()
                continue
            sizes.add(converted.shape)
            if destination.check_size and len(sizes) > 1:
                raise DataError(_other_size(entry, converted, sizes))
            converted.count_in(database.batch)
            database.put(entry.name, converted.value)
            processed.add()
            database.end_item()
        if not database.n_records:
            raise DataError(
                f"none of the {len(entries)} images could be read; is ROOTFOLDER {root!r} correct? "
                "It is the prefix of every path in the list."
            )
        processed.finish()
    if n_skipped := database.survey.n_skipped:
        logger.warning("%d of %d images could not be read.", n_skipped, len(entries))
    return database.survey


def _other_size(entry: ListEntry, converted: Converted, sizes: set[tuple[int, ...]]) -> str:
    own, *others = (
        " x ".join(map(str, shape)) for shape in (converted.shape, *(sizes - {converted.shape}))
    )
    return (
        f"{entry.name}: the image is {own} (channels x rows x columns), those before it are "
        f"{' or '.join(others)}; --check_size requires one size. Use --resize_height and "
        "--resize_width."
    )
