r"""Write a folder of images to an LMDB or LevelDB database.

LISTFILE has one line per image: its path below ROOTFOLDER, a space, an integer label. Keys are the
8-digit line number, an underscore and the path. Images that cannot be read are skipped and counted;
the others keep their numbers. The same command continues a conversion that was interrupted.

Example:
  minicaffe convert_imageset --resize_height=256 --resize_width=256 --shuffle \
      images/ train.txt train_lmdb
"""

from __future__ import annotations

from dataclasses import replace

from minicaffe.cli.commands._image_conversion import (
    Conversion,
    ConversionFlags,
    Converted,
    Resizing,
    convert_images,
)
from minicaffe.cli.conversion_summary import end_conversion
from minicaffe.cli.flags import flag, positional
from minicaffe.data.records.image_list import ListedImage, read_image_list
from minicaffe.log import logger
from minicaffe.random import RandomStream


class ImagesetFlags(ConversionFlags):
    """Flags of the command."""

    root: str = positional(metavar="ROOTFOLDER/", help="prefix of every path in the list")
    list_file: str = positional(metavar="LISTFILE", help="lines: path, space, label")
    database: str = positional(metavar="DB_NAME", help="database to create")
    scaled_decoding: bool = flag(
        help="decode large JPEG files at 1/2, 1/4 or 1/8 of their size before they are resized: "
        "faster, but pixels differ from those of Caffe's convert_imageset"
    )

    def resizing(self) -> Resizing:
        """Return the resizing to a size; warn of --scaled_decoding without effect."""
        found = super().resizing()
        if self.scaled_decoding and (found.fixed_size is None or self.encoded or self.encode_type):
            logger.warning(
                "--scaled_decoding has no effect: it needs --resize_height and --resize_width, and "
                "no --encoded."
            )
        return replace(found, scaled=self.scaled_decoding)


def run(flags: ImagesetFlags) -> int:
    """Convert."""
    encoded = flags.stores_files()
    entries = list(read_image_list(flags.list_file))
    if flags.shuffle:
        logger.info("Shuffling data")
        RandomStream(0, "convert_imageset").generator().shuffle(entries)
    logger.info("A total of %d images.", len(entries))
    conversion = Conversion(
        flags.root, not flags.gray, flags.resizing(), encoded, flags.encode_type
    )

    def convert(entry: ListedImage) -> Converted:
        return conversion.converted(entry.name, entry.label)

    destination = flags.destination([f"{entry.name} {entry.label}" for entry in entries])
    end_conversion(convert_images(entries, convert, destination, flags.root), flags.database)
    return 0
