r"""Write a folder of images to an LMDB or LevelDB database.

LISTFILE has one line per image: its path below ROOTFOLDER, a space, an integer label. Keys are the
8-digit line number, an underscore and the path. Images that cannot be read are skipped and counted;
the others keep their numbers.

Example:
  minicaffe convert_imageset --resize_height=256 --resize_width=256 --shuffle \
      images/ train.txt train_lmdb
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from minicaffe.cli.commands._file_counter import FileCounter
from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.cli.options.files import database_backend
from minicaffe.cores import usable_cores
from minicaffe.data.datum import encode_datum, encoded_datum
from minicaffe.data.db import create_database
from minicaffe.data.image import (
    decode_image,
    encode_image,
    image_format,
    is_turned_by_exif,
    read_image,
)
from minicaffe.data.records.image_list import ListedImage, read_image_list
from minicaffe.data.survey import DatasetSurvey
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.random import RandomStream


class Converted(NamedTuple):
    """A serialized Datum and the shape of its image."""

    value: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Conversion:
    """Conversion of a listed image to a Datum.

    Attributes
    ----------
    root : str
        Prefix of every name.
    color : bool
        Whether to store three channels; False: one, grey.
    height, width : int
        Size to resize to; 0: no resizing.
    encoded : bool
        Whether to store the bytes of an image file instead of pixels.
    kind : str
        Type of that file (jpg, png); empty: the type of the source.
    """

    root: str
    color: bool
    height: int
    width: int
    encoded: bool
    kind: str

    def __call__(self, entry: ListedImage) -> Converted:
        """Convert one image; raise DataError if it cannot be read."""
        path = self._path(entry.name)
        image = read_image(path, self.color, self.height, self.width)
        if not self.encoded:
            return Converted(encode_datum(image, entry.label), image.shape)
        own = Path(entry.name).suffix[1:].lower()
        kind = self.kind or own
        content = Path(path).read_bytes()
        if not self._can_copy_file(content, own, kind):
            content = encode_image(image, kind)
        return Converted(encoded_datum(content, entry.label), image.shape)

    def _path(self, name: str) -> str:
        # Caffe concatenates the two; here a missing slash is added.
        plain, joined = self.root + name, str(Path(self.root, name))
        return joined if not Path(plain).exists() and Path(joined).exists() else plain

    def _can_copy_file(self, content: bytes, own: str, kind: str) -> bool:
        # Readers of encoded images, as Caffe's, ignore the orientation.
        if (
            is_turned_by_exif(content)
            or (self.height and self.width)
            or own not in equivalent_extensions(kind)
        ):
            return False
        return self.color or decode_image(content, None, "").shape[0] == 1


def equivalent_extensions(kind: str) -> set[str]:
    """Return the file extensions of the image type that `kind` is an extension of."""
    return {"jpg", "jpeg"} if kind.lower() in ("jpg", "jpeg") else {kind.lower()}


class ImagesetFlags(Flags):
    """Flags of the command."""

    root: str = positional(metavar="ROOTFOLDER/", help="prefix of every path in the list")
    list_file: str = positional(metavar="LISTFILE", help="lines: path, space, label")
    database: str = positional(metavar="DB_NAME", help="database to create")
    gray: bool = flag(help="store grey images")
    shuffle: bool = flag(help="shuffle the list (every run gives the same order)")
    backend: str = database_backend("lmdb")
    resize_width: int = flag(default=0, help="columns to resize to (0: do not resize)")
    resize_height: int = flag(default=0, help="rows to resize to (0: do not resize)")
    check_size: bool = flag(help="fail if images differ in size")
    encoded: bool = flag(help="store the bytes of an image file instead of pixels")
    encode_type: str = flag(help="type of that file: png or jpg (default: as the source)")


def run(flags: ImagesetFlags) -> int:
    """Convert."""
    encoded = flags.encoded
    if flags.encode_type:
        image_format(flags.encode_type)
        if not encoded:
            logger.info("encode_type specified, assuming encoded=true.")
            encoded = True
    entries = read_image_list(flags.list_file)
    if flags.shuffle:
        logger.info("Shuffling data")
        RandomStream(0, "convert_imageset").generator().shuffle(entries)
    logger.info("A total of %d images.", len(entries))
    resize = flags.resize_height > 0 and flags.resize_width > 0
    if not resize and (flags.resize_height or flags.resize_width):
        logger.warning("Images are not resized: give both --resize_height and --resize_width.")
    conversion = Conversion(
        root=flags.root,
        color=not flags.gray,
        height=flags.resize_height if resize else 0,
        width=flags.resize_width if resize else 0,
        encoded=encoded,
        kind=flags.encode_type,
    )
    convert_images(entries, conversion, flags.database, flags.backend, flags.check_size)
    return 0


def convert_images(
    entries: Sequence[ListedImage],
    conversion: Conversion,
    path: str,
    backend: str,
    check_size: bool,
) -> None:
    """Convert images in parallel and store them in order."""
    skipped = 0
    processed, survey = FileCounter(), DatasetSurvey(path)
    first: tuple[ListedImage, Converted] | None = None
    with create_database(path, backend) as database:
        for index, (entry, future) in enumerate(_converted(entries, conversion)):
            try:
                converted = future.result()
            except DataError as error:
                logger.error("skipped: %s", error)
                skipped += 1
                continue
            first = first or (entry, converted)
            if check_size and converted.shape != first[1].shape:
                raise DataError(_other_size(entry, converted, *first))
            key = f"{index:08d}_{entry.name}".encode("utf-8", "surrogateescape")
            database.put(key, converted.value)
            processed.add()
            survey.add(entry.label, converted.shape)
        if not database.count:
            raise DataError(
                f"none of the {len(entries)} images could be read; is ROOTFOLDER "
                f"{conversion.root!r} correct? It is the prefix of every path in the list."
            )
        processed.finish()
    if skipped:
        logger.warning("%d of %d images could not be read.", skipped, len(entries))
    for remark in survey.remarks():
        logger.warning(remark)


def _converted(
    entries: Sequence[ListedImage], conversion: Conversion
) -> Iterator[tuple[ListedImage, Future[Converted]]]:
    """Yield entries and their results in order, while a pool of threads converts further ones."""
    workers = usable_cores()
    pending: deque[tuple[ListedImage, Future[Converted]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for entry in entries:
                pending.append((entry, pool.submit(conversion, entry)))
                if len(pending) > 4 * workers:
                    yield pending.popleft()
            while pending:
                yield pending.popleft()
        finally:
            pool.shutdown(cancel_futures=True)


def _other_size(
    entry: ListedImage, converted: Converted, first: ListedImage, first_one: Converted
) -> str:
    shapes = [" x ".join(map(str, one.shape)) for one in (converted, first_one)]
    return (
        f"{entry.name}: the image is {shapes[0]} (channels x rows x columns), {first.name} is "
        f"{shapes[1]}; --check_size requires one size. Use --resize_height and --resize_width."
    )
