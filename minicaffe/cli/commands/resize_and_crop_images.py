"""Resize the images of a folder and crop their centre square.

The shorter side is resized to --output_side_length. The folder structure is preserved. Files that
cannot be decoded are logged and skipped.

Example:
  minicaffe resize_and_crop_images --input_folder images --output_folder squares
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.commands._file_counter import FileCounter
from minicaffe.cli.flags import Flags, flag
from minicaffe.cores import usable_cores
from minicaffe.data.image import encode_image, image_format, read_image
from minicaffe.data.pixels.resizing import resize
from minicaffe.data.preparation import find_images
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.pictures.grid import Pixels


class ResizeFlags(Flags):
    """Flags of the command."""

    image_lib: str = flag(
        choices=("opencv",), default="opencv", help="accepted for old scripts; opencv only"
    )
    input_folder: str = flag(required=True, metavar="FOLDER", help="folder of images")
    output_folder: str = flag(required=True, metavar="FOLDER", help="folder to write to")
    output_side_length: int = flag(default=256, at_least=1, help="side of the squares in pixels")


def run(flags: ResizeFlags) -> int:
    """Resize and crop."""
    if not Path(flags.input_folder).is_dir():
        raise DataError(f"{flags.input_folder}: no such folder")
    files = find_images([flags.input_folder])
    done = skipped = 0
    processed = FileCounter()
    with ThreadPoolExecutor(usable_cores()) as threads:
        for error in threads.map(lambda file: _convert(Path(file), flags), files):
            if error:
                logger.error("skipped: %s", error)
                skipped += 1
            else:
                done += 1
                processed.add()
    processed.finish()
    if not done:
        raise DataError(f"{flags.input_folder}: none of its {skipped} images could be read")
    return 0


def _convert(file: Path, flags: ResizeFlags) -> str:
    """Convert one image; return an error message, "" if it succeeded."""
    target = Path(flags.output_folder, file.relative_to(flags.input_folder))
    try:
        square = resize_and_crop(read_image(file), flags.output_side_length)
        kind = file.suffix[1:]
        image_format(kind)
    except DataError as error:
        return str(error)
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as out:
        out.write(encode_image(square, kind))
    return ""


def resize_and_crop(image: Pixels, side: int) -> Pixels:
    """Resize an image (channels, rows, columns); return its centre square of `side` pixels."""
    _, height, width = image.shape
    if height < width:
        new = side, max(side, width * side // height)
    else:
        new = max(side, height * side // width), side
    large = resize(image, *new)
    top, left = (new[0] - side) // 2, (new[1] - side) // 2
    return large[:, top : top + side, left : left + side]
