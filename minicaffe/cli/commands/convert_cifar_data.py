"""Write the binary batches of CIFAR-10 to two databases.

INPUT_FOLDER holds data_batch_1.bin to data_batch_5.bin and test_batch.bin (as `minicaffe get
cifar10` unpacks them). Writes OUTPUT_FOLDER/cifar10_train_DB_TYPE and
OUTPUT_FOLDER/cifar10_test_DB_TYPE. Keys are 5-digit image numbers; each record is a Datum of
3 x 32 x 32 in the order red, green, blue.

Example:
  minicaffe convert_cifar_data data/cifar10 examples/cifar10 lmdb
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minicaffe.cli.conversion_summary import print_summary
from minicaffe.cli.flags import Flags, positional
from minicaffe.cli.item_progress import with_progress
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database, known_backend
from minicaffe.data.survey import DatasetSurvey
from minicaffe.errors import DataError
from minicaffe.log import logger

_SHAPE = (3, 32, 32)
_RECORD_BYTES = 1 + 3 * 32 * 32
_TRAIN_FILES = 5


class CifarFlags(Flags):
    """Flags of the command."""

    input_folder: str = positional(metavar="INPUT_FOLDER", help="folder of the .bin files")
    output_folder: str = positional(metavar="OUTPUT_FOLDER", help="folder of the databases")
    db_type: str = positional(metavar="DB_TYPE", help="lmdb or leveldb")


def run(flags: CifarFlags) -> int:
    """Convert."""
    known_backend(flags.db_type)
    source, target = Path(flags.input_folder), Path(flags.output_folder)
    batches = [source / f"data_batch_{batch}.bin" for batch in range(1, _TRAIN_FILES + 1)]
    logger.info("Writing Training data")
    _write(target / f"cifar10_train_{flags.db_type}", flags.db_type, batches)
    logger.info("Writing Testing data")
    _write(target / f"cifar10_test_{flags.db_type}", flags.db_type, [source / "test_batch.bin"])
    return 0


def _write(path: Path, backend: str, files: Sequence[Path]) -> None:
    """Write the records of binary files to a database."""
    survey = DatasetSurvey(str(path))
    with create_database(str(path), backend) as database:
        for number, file in enumerate(files, start=1):
            if len(files) > 1:
                logger.info("Training Batch %d", number)
            for label, image in with_progress(_records(file), "images"):
                database.put(b"%05d" % database.count, encode_datum(image, label))
                survey.add(label, image.shape)
    print_summary(survey, str(path))


def _records(path: Path) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    try:
        content = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}. minicaffe get cifar10 downloads it."
        ) from error
    if not content.size or content.size % _RECORD_BYTES:
        raise DataError(
            f"{path}: {content.size} bytes; the binary version of CIFAR-10 consists of records of "
            f"{_RECORD_BYTES} (label, 3 x 32 x 32). Is it that version, and complete?"
        )
    for record in content.reshape(-1, _RECORD_BYTES):
        yield int(record[0]), record[1:].reshape(_SHAPE)
