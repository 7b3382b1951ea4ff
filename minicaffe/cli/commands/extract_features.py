r"""Write blobs of a net, computed from its data, to databases or files.

The net runs in the TEST phase. BLOBS and OUTPUTS are lists of equal length, separated by commas.
DB_TYPE lmdb and leveldb write Datum records (float_data; keys are 10-digit numbers), hdf5 a data
set named after the blob, npy a NumPy array; the first axis of both is the sample.

Example:
  minicaffe extract_features lenet_iter_10000.caffemodel lenet_train_test.prototxt ip1,ip2 \
      ip1_lmdb,ip2_lmdb 100 lmdb
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import positional
from minicaffe.cli.item_progress import with_progress
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import WEIGHTS_ARGUMENT
from minicaffe.cli.options.log import LogFlags
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import NewDatabase, create_database
from minicaffe.data.npy import write_npy
from minicaffe.errors import NetError, UsageError, nearest
from minicaffe.log import log_result, logger
from minicaffe.ops.backend import HostArray

if TYPE_CHECKING:
    from minicaffe.net import Net

_REPORT_EVERY = 1000
_TYPES = ("lmdb", "leveldb", "hdf5", "npy")

# Appends the features of a batch, whose first axis is the sample.
Sink = Callable[[HostArray], None]


class FeatureFlags(LogFlags, BackendFlags):
    """Flags of the command."""

    weights: str = WEIGHTS_ARGUMENT
    model: str = positional(metavar="NET", help="net prototxt with a data layer")
    blobs: str = positional(metavar="BLOBS", help="names of blobs")
    outputs: str = positional(metavar="OUTPUTS", help="databases or files to create")
    batches: int = positional(metavar="NUM_BATCHES", at_least=1, help="number of batches")
    db_type: str = positional(metavar="DB_TYPE", type=str.lower, help=", ".join(_TYPES))
    mode: str = positional(
        metavar="CPU/GPU",
        nargs="?",
        type=str.upper,
        choices=("CPU", "GPU"),
        default="CPU",
        help="device to compute on",
    )
    device_id: int = positional(metavar="DEVICE_ID", nargs="?", default=0, help="GPU")


def run(flags: FeatureFlags) -> int:
    """Extract."""
    flags.shorten_log()
    names, paths = flags.blobs.split(","), flags.outputs.split(",")
    _check(flags, names, paths)
    if flags.mode == "GPU":
        flags.gpu = flags.gpu or str(flags.device_id)
    elif flags.device_id:
        logger.warning(f"DEVICE_ID {flags.device_id} has no effect without GPU before it.")
    from minicaffe.cli.data_checks import warn_of_repeated_samples, warn_of_unfilled_inputs
    from minicaffe.net import Net
    from minicaffe.net.weights import copy_trained_layers

    with closing(
        Net(flags.model, "TEST", backend=choose_backend(flags, model=flags.model), fills=False)
    ) as net:
        net.check_memory()
        net.fill()
        for name in names:
            if name not in net.blobs:
                raise NetError(f'{flags.model}: no blob "{name}". {nearest(name, net.blobs)}')
        copy_trained_layers(net, flags.weights)
        warn_of_unfilled_inputs(net)
        warn_of_repeated_samples(net, flags.batches)
        logger.info("Extracting Features")
        with ExitStack() as stack:
            sinks = [
                stack.enter_context(open_sink(path, name, flags.db_type))
                for path, name in zip(paths, names, strict=True)
            ]
            _extract(net, names, sinks, flags.batches)
    log_result("Successfully extracted the features!")
    return 0


def _check(flags: FeatureFlags, names: list[str], paths: list[str]) -> None:
    if len(names) != len(paths):
        raise UsageError(
            f"{len(names)} blobs ({flags.blobs}) and {len(paths)} outputs ({flags.outputs}); there "
            "must be one output for each blob"
        )
    if len(set(paths)) != len(paths):
        raise UsageError(f"outputs {flags.outputs}: one occurs twice; each blob needs its own")
    if flags.db_type not in _TYPES:
        raise UsageError(f"DB_TYPE {flags.db_type}: no such type. {nearest(flags.db_type, _TYPES)}")


def _extract(net: Net, names: list[str], sinks: list[Sink], batches: int) -> None:
    counts = [0] * len(names)
    for _ in with_progress(range(batches), "batches", batches):
        net.forward()
        for k, (name, sink) in enumerate(zip(names, sinks, strict=True)):
            features = np.atleast_1d(net.blobs[name].data.get())
            sink(features)
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
    """Open a new output of one of the four types, which is created when the block succeeds."""
    if kind in ("lmdb", "leveldb"):
        with create_database(path, kind) as database:
            yield partial(_put_records, database)
    elif kind == "hdf5":
        from minicaffe.data.hdf5_writer import Hdf5Writer  # slow to import

        writer = Hdf5Writer(path)
        try:
            yield partial(writer.append, name)
        except BaseException:
            writer.discard()
            raise
        writer.close()
    else:
        with write_atomically(path) as target:
            batches: list[HostArray] = []
            yield batches.append
            write_npy(target, np.concatenate(batches))


def _put_records(database: NewDatabase, features: HostArray) -> None:
    for sample in features:
        key = b"%010d" % database.count
        database.put(key, encode_datum(as_datum_array(sample), None))


def as_datum_array(sample: HostArray) -> HostArray:
    """Reshape a sample to channels x rows x columns, the shape of a Datum."""
    if sample.ndim > 3:
        return sample.reshape(math.prod(sample.shape[:-2]), *sample.shape[-2:])
    return sample.reshape(sample.shape + (1,) * (3 - sample.ndim))
