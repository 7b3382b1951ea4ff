r"""Write a folder of pictures to an LMDB or LevelDB database.

LISTFILE has a line per picture: its path below ROOTFOLDER, a space, a label (a whole number). Keys
are the line's number with 8 digits, an underscore and the path. Pictures that cannot be read are
skipped and counted; the numbers of the others stay as they are.

Example:
  minicaffe convert_imageset --resize_height=256 --resize_width=256 --shuffle \
      pictures/ train.txt train_lmdb
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from minicaffe.cli.commands._file_count import FileCount
from minicaffe.cores import usable_cores
from minicaffe.data.datum import encode_datum, encoded_datum
from minicaffe.data.db import create_database
from minicaffe.data.image import decode_image, encode_image, image_format, read_image
from minicaffe.data.records.image_list import ListedImage, read_image_list
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.random import RandomStream


class Converted(NamedTuple):
    """A picture ready to be stored."""

    value: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Conversion:
    """What becomes of every picture.

    Attributes
    ----------
    root : str
        What goes before every name.
    color : bool
        False: grey.
    height, width : int
        Size to resize to; 0 keeps the picture's.
    encoded : bool
        Whether to store the bytes of a picture file.
    kind : str
        Type of that file (jpg, png); empty: as the picture's own.
    """

    root: str
    color: bool
    height: int
    width: int
    encoded: bool
    kind: str

    def __call__(self, entry: ListedImage) -> Converted:
        """Convert one picture; `DataError` if it cannot be read."""
        path = self._path(entry.name)
        picture = read_image(path, self.color, self.height, self.width)
        if not self.encoded:
            return Converted(encode_datum(picture, entry.label), picture.shape)
        own = Path(entry.name).suffix[1:].lower()
        kind = self.kind or own
        if self._may_keep_file(path, own, kind):
            content = Path(path).read_bytes()
        else:
            content = encode_image(picture, kind)
        return Converted(encoded_datum(content, entry.label), picture.shape)

    def _path(self, name: str) -> str:
        # Caffe puts the two together as they are; a forgotten slash is forgiven.
        plain, joined = self.root + name, str(Path(self.root, name))
        return joined if not Path(plain).exists() and Path(joined).exists() else plain

    def _may_keep_file(self, path: str, own: str, kind: str) -> bool:
        if (self.height and self.width) or own not in picture_endings(kind):
            return False
        return self.color or decode_image(Path(path).read_bytes(), None, path).shape[0] == 1


def picture_endings(kind: str) -> set[str]:
    """Return the file name endings that stand for the same type as `kind`."""
    return {"jpg", "jpeg"} if kind.lower() in ("jpg", "jpeg") else {kind.lower()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("root", metavar="ROOTFOLDER/", help="put before every name in the list")
    parser.add_argument("list_file", metavar="LISTFILE", help="lines: path, space, label")
    parser.add_argument("database", metavar="DB_NAME", help="database to create")
    parser.add_argument("--gray", action="store_true", help="store grey pictures")
    parser.add_argument(
        "--shuffle", action="store_true", help="shuffle the list (the same way every time)"
    )
    parser.add_argument("--backend", default="lmdb", help="lmdb (the default) or leveldb")
    parser.add_argument("--resize_width", type=int, default=0, help="columns (0: as they are)")
    parser.add_argument("--resize_height", type=int, default=0, help="rows (0: as they are)")
    parser.add_argument(
        "--check_size", action="store_true", help="insist that all pictures have one size"
    )
    parser.add_argument(
        "--encoded", action="store_true", help="store the bytes of the picture file"
    )
    parser.add_argument(
        "--encode_type", default="", help="type of those bytes: png, jpg (default: as the file)"
    )


def run(args: argparse.Namespace) -> int:
    """Convert."""
    encoded = args.encoded
    if args.encode_type:
        image_format(args.encode_type)
        if not encoded:
            logger.info("encode_type specified, assuming encoded=true.")
            encoded = True
    entries = read_image_list(args.list_file)
    if args.shuffle:
        logger.info("Shuffling data")
        RandomStream(0, "convert_imageset").generator().shuffle(entries)
    logger.info("A total of %d images.", len(entries))
    resize = args.resize_height > 0 and args.resize_width > 0
    if not resize and (args.resize_height or args.resize_width):
        logger.warning("Nothing is resized: give both, --resize_height and --resize_width.")
    conversion = Conversion(
        root=args.root,
        color=not args.gray,
        height=args.resize_height if resize else 0,
        width=args.resize_width if resize else 0,
        encoded=encoded,
        kind=args.encode_type,
    )
    convert(entries, conversion, args.database, args.backend, args.check_size)
    return 0


def convert(
    entries: Sequence[ListedImage],
    conversion: Conversion,
    path: str,
    backend: str,
    check_size: bool,
) -> None:
    """Convert the pictures, several at a time, and store them in order."""
    skipped = 0
    processed = FileCount()
    first: tuple[ListedImage, Converted] | None = None
    with create_database(path, backend) as database:
        for index, (entry, future) in enumerate(_ahead(entries, conversion)):
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
        if not database.count:
            raise DataError(
                f"none of the {len(entries)} pictures could be read; is ROOTFOLDER "
                f"{conversion.root!r} right? It is put before every name of the list."
            )
        processed.end()
    if skipped:
        logger.warning("%d of %d pictures could not be read.", skipped, len(entries))


def _ahead(
    entries: Sequence[ListedImage], conversion: Conversion
) -> Iterator[tuple[ListedImage, Future[Converted]]]:
    """Yield the conversions in order while a few more are under way."""
    workers = usable_cores()
    waiting: deque[tuple[ListedImage, Future[Converted]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for entry in entries:
                waiting.append((entry, pool.submit(conversion, entry)))
                if len(waiting) > 4 * workers:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            pool.shutdown(cancel_futures=True)


def _other_size(
    entry: ListedImage, converted: Converted, first: ListedImage, first_one: Converted
) -> str:
    shapes = [" x ".join(map(str, one.shape)) for one in (converted, first_one)]
    return (
        f"{entry.name}: the picture is {shapes[0]} (channels x rows x columns), {first.name} is "
        f"{shapes[1]}; --check_size asks for one size. Use --resize_height and --resize_width."
    )
