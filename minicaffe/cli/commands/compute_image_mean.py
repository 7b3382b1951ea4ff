"""Compute the mean picture of a database.

Writes a BlobProto (1 x channels x rows x columns, for transform_param's mean_file) to OUTPUT_FILE
if given, and logs the mean of every channel (for mean_value). All pictures must have one size.

Example:
  minicaffe compute_image_mean --backend=lmdb ilsvrc12_train_lmdb ilsvrc12_mean.binaryproto
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from minicaffe.cli.commands._file_count import FileCount
from minicaffe.data.datum import decode_datum
from minicaffe.data.db import Database, open_database, printable
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.schema import write_blobproto

_REPORT_EVERY = 10000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("database", metavar="INPUT_DB", help="database to read")
    parser.add_argument("output", metavar="OUTPUT_FILE", nargs="?", help="mean file to write")
    parser.add_argument("--backend", default="lmdb", help="lmdb (the default) or leveldb")


def run(args: argparse.Namespace) -> int:
    """Compute, write, log."""
    with open_database(args.database, args.backend) as database:
        mean = mean_picture(database)
    if args.output:
        logger.info("Write to %s", args.output)
        write_blobproto(args.output, mean)
    logger.info("Number of channels: %d", mean.shape[0])
    for channel, plane in enumerate(mean):
        logger.info("mean_value channel [%d]: %g", channel, plane.mean(dtype=np.float64))
    return 0


def mean_picture(database: Database) -> NDArray[np.float32]:
    """Return the mean of all pictures, float32, shape (channels, rows, columns)."""
    total: NDArray[np.float64] | None = None
    count = 0
    processed = FileCount(_REPORT_EVERY)
    logger.info("Starting iteration")
    for key, value in database.items():
        where = f"{database.path}, key {printable(key)}"
        picture, _ = decode_datum(value, None, where)
        if total is None:
            total = np.zeros(picture.shape)
        if picture.shape != total.shape:
            shapes = [" x ".join(map(str, shape)) for shape in (picture.shape, total.shape)]
            raise DataError(
                f"{where}: the picture is {shapes[0]} (channels x rows x columns), those before it "
                f"{shapes[1]}; a mean needs one size. Convert with --resize_height and "
                "--resize_width, or use mean_value."
            )
        total += picture
        count += 1
        processed.add()
    if total is None:
        raise DataError(f"{database.path}: the database is empty; there is no mean of nothing.")
    processed.end()
    return (total / count).astype(np.float32)
