r"""Write MNIST-format (IDX) files to a database.

IMAGES and LABELS are IDX files, plain or gzip (as `minicaffe get mnist` leaves them). Keys are the
pictures' numbers with 8 digits; every picture is a Datum of one channel.

Example:
  minicaffe convert_mnist_data data/fashion-mnist/train-images-idx3-ubyte.gz \
      data/fashion-mnist/train-labels-idx1-ubyte.gz fashion_train_lmdb
"""

from __future__ import annotations

import argparse

from minicaffe.cli.commands._file_count import FileCount
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.data.idx import read_set
from minicaffe.log import logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("images", metavar="IMAGES", help="IDX file of pictures")
    parser.add_argument("labels", metavar="LABELS", help="IDX file of labels")
    parser.add_argument("database", metavar="DB", help="database to create")
    parser.add_argument("--backend", default="lmdb", help="lmdb (the default) or leveldb")


def run(args: argparse.Namespace) -> int:
    """Convert."""
    images, labels = read_set(args.images, args.labels)
    with create_database(args.database, args.backend) as database:
        logger.info("A total of %d items.", len(images))
        logger.info("Rows: %d Cols: %d", *images.shape[1:])
        processed = FileCount()
        for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            database.put(b"%08d" % i, encode_datum(image[None], label))
            processed.add()
        processed.end()
    return 0
