r"""Run a net over its data and write blobs to databases: features for other programs.

Every batch is one of the net's TEST phase. BLOBS and OUTPUTS are lists of equal length, separated
by commas. DB_TYPE lmdb and leveldb write Datum records (float_data; keys are numbers of 10 digits),
hdf5 a data set named after the blob, npy a NumPy array; samples come first in both.

Example:
  minicaffe extract_features lenet_iter_10000.caffemodel lenet_train_test.prototxt ip1,ip2 \
      ip1_lmdb,ip2_lmdb 100 lmdb
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.options import backend as device
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import NewDatabase, create_database
from minicaffe.errors import NetError, UsageError, nearest
from minicaffe.log import logger
from minicaffe.ops.backend import HostArray

if TYPE_CHECKING:
    from minicaffe.net import Net

_REPORT_EVERY = 1000
_TYPES = ("lmdb", "leveldb", "hdf5", "npy")


class Sink(Protocol):
    """Where the features of one blob go."""

    def put(self, features: HostArray) -> None:
        """Take the features of a batch, samples along the first axis."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("weights", metavar="WEIGHTS", help="the trained weights")
    parser.add_argument("model", metavar="NET", help="a net prototxt that brings its data")
    parser.add_argument("blobs", metavar="BLOBS", help="names of blobs")
    parser.add_argument("outputs", metavar="OUTPUTS", help="databases or files to create")
    parser.add_argument("batches", metavar="NUM_BATCHES", type=int, help="number of batches")
    parser.add_argument("db_type", metavar="DB_TYPE", type=str.lower, help=", ".join(_TYPES))
    parser.add_argument("mode", metavar="CPU/GPU", nargs="?", type=str.upper, default="CPU")
    parser.add_argument("device_id", metavar="DEVICE_ID", nargs="?", type=int, default=0)
    device.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Extract."""
    names, paths = args.blobs.split(","), args.outputs.split(",")
    _check(args, names, paths)
    if args.mode == "GPU":
        args.gpu = args.gpu or str(args.device_id)
    from minicaffe.net import Net
    from minicaffe.net.weights import copy_trained_layers

    net = Net(args.model, "TEST", backend=device.choose(args))
    try:
        for name in names:
            if name not in net.blobs:
                raise NetError(f'{args.model}: no blob "{name}". {nearest(name, net.blobs)}')
        copy_trained_layers(net, args.weights)
        logger.info("Extracting Features")
        with ExitStack() as stack:
            sinks = [
                stack.enter_context(open_sink(path, name, args.db_type))
                for path, name in zip(paths, names, strict=True)
            ]
            _extract(net, names, sinks, args.batches)
    finally:
        net.close()
    logger.info("Successfully extracted the features!")
    return 0


def _check(args: argparse.Namespace, names: list[str], paths: list[str]) -> None:
    if len(names) != len(paths):
        raise UsageError(
            f"{len(names)} blobs ({args.blobs}) and {len(paths)} outputs ({args.outputs}); there "
            "must be one output for each blob"
        )
    if len(set(paths)) != len(paths):
        raise UsageError(f"outputs {args.outputs}: one is named twice; give each blob its own")
    if args.db_type not in _TYPES:
        raise UsageError(f"DB_TYPE {args.db_type}: no such type. {nearest(args.db_type, _TYPES)}")
    if args.batches < 1:
        raise UsageError(f"NUM_BATCHES {args.batches}: must be at least 1")
    if args.mode not in ("CPU", "GPU"):
        raise UsageError(f"{args.mode}: must be CPU or GPU")


def _extract(net: Net, names: list[str], sinks: list[Sink], batches: int) -> None:
    counts = [0] * len(names)
    for _ in range(batches):
        net.forward()
        for k, (name, sink) in enumerate(zip(names, sinks, strict=True)):
            features = np.atleast_1d(net.blobs[name].data.get())
            sink.put(features)
            before, counts[k] = counts[k], counts[k] + len(features)
            if counts[k] // _REPORT_EVERY > before // _REPORT_EVERY:
                _report(counts[k], name)
    for name, count in zip(names, counts, strict=True):
        if count % _REPORT_EVERY:
            _report(count, name)


def _report(count: int, name: str) -> None:
    logger.info(f"Extracted features of {count} query images for feature blob {name}")


@contextmanager
def open_sink(path: str, name: str, kind: str) -> Iterator[Sink]:
    """Open a new output of one of the four kinds; it appears when the block ends well."""
    if kind in ("lmdb", "leveldb"):
        with create_database(path, kind) as database:
            yield _Records(database)
    elif kind == "hdf5":
        import h5py  # slow to import

        with write_atomically(path) as target, h5py.File(target, "w") as file:
            yield _DataSet(file, name)
    else:
        with write_atomically(path) as target:
            batches = _Batches()
            yield batches
            np.save(target, np.concatenate(batches.taken))


class _Records:
    def __init__(self, database: NewDatabase) -> None:
        self.database = database

    def put(self, features: HostArray) -> None:
        for sample in features:
            key = b"%010d" % self.database.count
            self.database.put(key, encode_datum(as_picture(sample), 0))


class _DataSet:
    def __init__(self, file: Any, name: str) -> None:
        self.file, self.name = file, name

    def put(self, features: HostArray) -> None:
        if self.name not in self.file:
            limit = (None, *features.shape[1:])
            self.file.create_dataset(self.name, data=features, maxshape=limit)
            return
        data = self.file[self.name]
        data.resize(len(data) + len(features), axis=0)
        data[-len(features) :] = features


class _Batches:
    def __init__(self) -> None:
        self.taken: list[HostArray] = []

    def put(self, features: HostArray) -> None:
        self.taken.append(features)


def as_picture(sample: HostArray) -> HostArray:
    """Return a sample as channels x rows x columns, which is what a Datum holds."""
    if sample.ndim > 3:
        return sample.reshape(math.prod(sample.shape[:-2]), *sample.shape[-2:])
    return sample.reshape(sample.shape + (1,) * (3 - sample.ndim))
