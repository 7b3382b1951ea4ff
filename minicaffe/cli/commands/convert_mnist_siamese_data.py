r"""Write pairs of MNIST-format (IDX) pictures to a database, for training siamese nets.

IMAGES and LABELS are IDX files, plain or gzip. A record is two pictures drawn at random, as the two
channels of one Datum, with label 1 if both are of one class, else 0. There are as many pairs as
pictures; keys are 8-digit numbers. The draws are the same on every run.

Example:
  minicaffe convert_mnist_siamese_data data/fashion-mnist/train-images-idx3-ubyte.gz \
      data/fashion-mnist/train-labels-idx1-ubyte.gz siamese_train_leveldb
"""

from __future__ import annotations

import argparse

import numpy as np

from minicaffe.cli.commands._file_count import FileCount
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.data.idx import read_set
from minicaffe.log import logger

_SEED = 1701


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("images", metavar="IMAGES", help="IDX file of pictures")
    parser.add_argument("labels", metavar="LABELS", help="IDX file of labels")
    parser.add_argument("database", metavar="DB", help="database to create")
    parser.add_argument("--backend", default="leveldb", help="leveldb (the default) or lmdb")


def run(args: argparse.Namespace) -> int:
    """Convert."""
    images, labels = read_set(args.images, args.labels)
    pairs = np.random.default_rng(_SEED).integers(len(images), size=(len(images), 2))
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    with create_database(args.database, args.backend) as database:
        logger.info("A total of %d items.", len(images))
        logger.info("Rows: %d Cols: %d", *images.shape[1:])
        processed = FileCount()
        for i, (pair, label) in enumerate(zip(pairs, same, strict=True)):
            database.put(b"%08d" % i, encode_datum(images[pair], int(label)))
            processed.add()
        processed.end()
    return 0
