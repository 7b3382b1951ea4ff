r"""Write MNIST-format (IDX) files to a database.

IMAGES and LABELS are IDX files, plain or gzip (as `minicaffe get mnist` downloads them). Keys are
8-digit image numbers; each record is a Datum of one channel.

Example:
  minicaffe convert_mnist_data data/fashion-mnist/train-images-idx3-ubyte.gz \
      data/fashion-mnist/train-labels-idx1-ubyte.gz fashion_train_lmdb
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from minicaffe.cli.commands._file_counter import FileCounter
from minicaffe.cli.conversion_summary import end_conversion
from minicaffe.cli.flags import Flags, positional
from minicaffe.cli.item_progress import with_progress
from minicaffe.cli.options.files import database_backend
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.data.idx import read_set
from minicaffe.data.survey import DatasetSurvey
from minicaffe.log import logger


class MnistFlags(Flags):
    """Flags of the command."""

    images: str = positional(metavar="IMAGES", help="IDX file of images")
    labels: str = positional(metavar="LABELS", help="IDX file of labels")
    database: str = positional(metavar="DB", help="database to create")
    backend: str = database_backend("lmdb")


def run(flags: MnistFlags) -> int:
    """Convert one record from each image."""
    images, labels = read_set(flags.images, flags.labels)
    return write_mnist_records(flags, images, images[:, None], labels.tolist())


def write_mnist_records(
    flags: MnistFlags,
    images: NDArray[np.uint8],
    records: Iterable[NDArray[np.uint8]],
    labels: Iterable[int],
) -> int:
    """Write one record for each of `images`, shape (n, rows, columns); return the exit code.

    The shape of a record is (channels, rows, columns).
    """
    with create_database(flags.database, flags.backend) as database:
        logger.info("A total of %d items.", len(images))
        logger.info("Rows: %d Cols: %d", *images.shape[1:])
        processed, survey = FileCounter(), DatasetSurvey(flags.database)
        pairs = with_progress(zip(records, labels, strict=True), "items", len(images))
        for i, (record, label) in enumerate(pairs):
            database.put(b"%08d" % i, encode_datum(record, label))
            processed.add()
            survey.add(label, record.shape)
        processed.finish()
    end_conversion(survey, flags.database)
    return 0
