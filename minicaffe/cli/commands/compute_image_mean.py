"""Compute the mean image of a database.

Writes a BlobProto (1 x channels x rows x columns, for transform_param's mean_file) to OUTPUT_FILE
if it is given, and logs the mean of every channel (for mean_value). All images must have one size.

Example:
  minicaffe compute_image_mean --backend=lmdb ilsvrc12_train_lmdb ilsvrc12_mean.binaryproto
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicaffe.cli.commands._db_reports import known_count
from minicaffe.cli.commands._file_counter import FileCounter
from minicaffe.cli.flags import Flags, positional
from minicaffe.cli.item_progress import with_progress
from minicaffe.cli.options.files import database_backend
from minicaffe.data.datum import decode_datum
from minicaffe.data.db import Database, open_database, printable
from minicaffe.errors import DataError
from minicaffe.log import log_result, logger
from minicaffe.schema import write_blobproto

_REPORT_EVERY = 10000


class ImageMeanFlags(Flags):
    """Flags of the command."""

    database: str = positional(metavar="INPUT_DB", help="database to read")
    output: str | None = positional(metavar="OUTPUT_FILE", nargs="?", help="mean file to write")
    backend: str = database_backend("lmdb")


def run(flags: ImageMeanFlags) -> int:
    """Compute, write, log."""
    with open_database(flags.database, flags.backend) as database:
        mean = mean_image(database)
    if flags.output:
        logger.info("Write to %s", flags.output)
        write_blobproto(flags.output, mean)
    log_result(f"Number of channels: {mean.shape[0]}")
    for channel, plane in enumerate(mean):
        log_result(f"mean_value channel [{channel}]: {plane.mean(dtype=np.float64):g}")
    return 0


def mean_image(database: Database) -> NDArray[np.float32]:
    """Return the mean of all images, float32, shape (channels, rows, columns)."""
    total: NDArray[np.float64] | None = None
    count = 0
    processed = FileCounter(_REPORT_EVERY)
    logger.info("Starting iteration")
    for key, value in with_progress(database.items(), "images", known_count(database)):
        where = f"{database.path}, key {printable(key)}"
        image, _ = decode_datum(value, None, where)
        if total is None:
            total = np.zeros(image.shape)
        if image.shape != total.shape:
            shapes = [" x ".join(map(str, shape)) for shape in (image.shape, total.shape)]
            raise DataError(
                f"{where}: the image is {shapes[0]} (channels x rows x columns), earlier ones are "
                f"{shapes[1]}; a mean needs one size. Convert with --resize_height and "
                "--resize_width, or use mean_value."
            )
        total += image
        count += 1
        processed.add()
    if total is None:
        raise DataError(f"{database.path}: the database is empty; a mean needs at least one image.")
    processed.finish()
    return (total / count).astype(np.float32)
