"""Resize the pictures of a folder so that the shorter side has a length; crop the centre square.

Folders below --input_folder are kept below --output_folder. Files that are no pictures are named
and skipped.

Example:
  minicaffe resize_and_crop_images --input_folder pictures --output_folder squares
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.commands._file_count import FileCount
from minicaffe.cores import usable_cores
from minicaffe.data.image import encode_image, image_format, read_image, resize
from minicaffe.data.preparation import find_images
from minicaffe.errors import DataError, UsageError
from minicaffe.log import logger
from minicaffe.pictures.grid import Pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--image_lib", default="opencv", help="opencv: kept for old scripts; the only one"
    )
    parser.add_argument("--input_folder", default="", help="folder of pictures")
    parser.add_argument("--output_folder", default="", help="folder to write to")
    parser.add_argument(
        "--output_side_length", type=int, default=256, help="side of the squares (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Resize and crop."""
    for flag in ("input_folder", "output_folder"):
        if not getattr(args, flag):
            raise UsageError(f"--{flag}=FOLDER is missing")
    if args.image_lib != "opencv":
        raise UsageError(f"--image_lib={args.image_lib}: only opencv's way to resize is available")
    if args.output_side_length < 1:
        raise UsageError(f"--output_side_length={args.output_side_length}: must be at least 1")
    if not Path(args.input_folder).is_dir():
        raise DataError(f"{args.input_folder}: no such folder")
    files = find_images([args.input_folder])
    done = skipped = 0
    processed = FileCount()
    with ThreadPoolExecutor(usable_cores()) as threads:
        for error in threads.map(lambda file: _convert(Path(file), args), files):
            if error:
                logger.error("skipped: %s", error)
                skipped += 1
            else:
                done += 1
                processed.add()
    processed.end()
    if not done:
        raise DataError(f"{args.input_folder}: none of its {skipped} pictures could be read")
    return 0


def _convert(file: Path, args: argparse.Namespace) -> str:
    """Convert one picture; return what is wrong with it, "" if nothing."""
    target = Path(args.output_folder, file.relative_to(args.input_folder))
    try:
        square = resized_and_cropped(read_image(file), args.output_side_length)
        kind = file.suffix[1:]
        image_format(kind)
    except DataError as error:
        return str(error)
    target.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(target) as out:
        out.write(encode_image(square, kind))
    return ""


def resized_and_cropped(picture: Pixels, side: int) -> Pixels:
    """Return the centre square of a picture (channels, rows, columns), `side` pixels wide."""
    _, height, width = picture.shape
    if height < width:
        new = side, max(side, width * side // height)
    else:
        new = max(side, height * side // width), side
    large = resize(picture, *new)
    top, left = (new[0] - side) // 2, (new[1] - side) // 2
    return large[:, top : top + side, left : left + side]
