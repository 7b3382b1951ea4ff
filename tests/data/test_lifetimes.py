"""Sources of data end with their last reference: threads and database handles, without the gc."""

import gc
import threading
import time

import numpy as np
import pytest
from google.protobuf import text_format
from test_batches import IMAGES, batches

from minicaffe.data import db
from minicaffe.data.batches import ImageBatches
from minicaffe.data.datum import encoded_datum
from minicaffe.data.db import create_database, open_database
from minicaffe.data.image import encode_image
from minicaffe.data.prefetch import Prefetcher
from minicaffe.data.records.database import DatabaseRecords
from minicaffe.data.transformer import DataTransformer
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.layers import LAYERS
from minicaffe.layers.context import LayerContext
from minicaffe.random import RandomStream
from minicaffe.schema.minicaffe_pb2 import TEST, LayerParameter, TransformationParameter


@pytest.fixture(autouse=True)
def without_gc():
    """No garbage collection, and nothing left of other tests."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def threads():
    return {t for t in threading.enumerate() if t.name.startswith("minicaffe-")}


def wait_for_end(before):
    """Wait until the threads that were started since have ended: those of a pool take a moment."""
    for _ in range(500):
        if threads() <= before:
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def encoded(tmp_path):
    """A database of PNG files, of which the third is damaged."""
    path = str(tmp_path / "encoded")
    with create_database(path, "LMDB") as database:
        for i in range(6):
            content = encode_image(np.full((1, 4, 5), i, np.uint8), "png")
            database.put(b"%d" % i, encoded_datum(content[: 40 if i == 2 else None], i))
    return path


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
def test_a_prefetcher(make_database, backend):
    path, before = make_database(IMAGES, backend), threads()
    source = Prefetcher(batches(path, 4, backend=backend), depth=3)
    source.next()
    assert len(db._readers._users) == 1
    del source
    assert wait_for_end(before)
    assert not db._readers._users
    open_database(path, backend).close()


def test_a_prefetcher_that_met_an_error(encoded):
    before = threads()
    records = DatabaseRecords(encoded, "LMDB")
    transformer, stream = DataTransformer(TransformationParameter(), TEST), RandomStream(1, "data")
    source = Prefetcher(
        ImageBatches(records, BatchRows(2), transformer, stream, threads=2), depth=2
    )
    del records
    assert source.next().tops[1].tolist() == [0, 1]
    for _ in range(2):
        with pytest.raises(DataError, match="key '2'"):
            source.next()
    del source
    assert wait_for_end(before)
    assert not db._readers._users


def test_batches_whose_first_record_is_wrong(make_database):
    path = make_database(IMAGES)
    with pytest.raises(DataError, match="crop_size 7"):
        batches(path, 2, "crop_size: 7")
    assert not db._readers._users


@pytest.mark.parametrize("closed", [False, True])
def test_a_layer(make_database, closed):
    from minicaffe.backends.reference import ReferenceBackend
    from minicaffe.blob import Blob

    before, backend = threads(), ReferenceBackend()
    param = text_format.Parse(
        f'name: "data" type: "Data" top: "x" top: "y" data_param {{ source: '
        f'"{make_database(IMAGES)}" batch_size: 2 backend: LMDB }}',
        LayerParameter(),
    )
    layer = LAYERS["Data"](param, LayerContext("net.prototxt:1", True, backend, 1))
    top = [Blob(backend), Blob(backend)]
    layer.setup([], top)
    layer.forward([], top)
    if closed:
        layer.close()
    del layer
    assert wait_for_end(before)
    assert not db._readers._users
