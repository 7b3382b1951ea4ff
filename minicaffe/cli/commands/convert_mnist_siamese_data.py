r"""Write pairs of MNIST-format (IDX) images to a database.

For siamese nets. IMAGES and LABELS are IDX files, plain or gzip. Each record holds two images drawn
at random, as the two channels of one Datum; its label is 1 if both have the same class, else 0.
There are as many records as images; keys are 8-digit numbers. Every run draws the same pairs.

Example:
  minicaffe convert_mnist_siamese_data data/fashion-mnist/train-images-idx3-ubyte.gz \
      data/fashion-mnist/train-labels-idx1-ubyte.gz siamese_train_leveldb
"""

from __future__ import annotations

import numpy as np

from minicaffe.cli.commands.convert_mnist_data import MnistFlags, write_mnist_records
from minicaffe.cli.options.files import database_backend
from minicaffe.data.idx import read_set

_SEED = 1701


class MnistPairFlags(MnistFlags):
    """Flags of the command."""

    backend: str = database_backend("leveldb")


def run(flags: MnistPairFlags) -> int:
    """Convert one record from each pair."""
    images, labels = read_set(flags.images, flags.labels)
    pairs = np.random.default_rng(_SEED).integers(len(images), size=(len(images), 2))
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    return write_mnist_records(flags, images, (images[pair] for pair in pairs), map(int, same))
