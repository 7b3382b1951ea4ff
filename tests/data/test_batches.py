import json
import re
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from minicaffe.data.batches import ImageBatches
from minicaffe.data.datum import encoded_datum
from minicaffe.data.db import create_database
from minicaffe.data.image import encode_image
from minicaffe.data.records.database import DatabaseRecords, ShuffledDatabaseRecords
from minicaffe.data.transformer import DataTransformer
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError
from minicaffe.random import RandomStream
from minicaffe.schema.minicaffe_pb2 import TEST, TRAIN, NetParameter, TransformationParameter

GOLDEN = Path(__file__).parents[1] / "golden"

IMAGES = [np.full((1, 4, 5), i, np.uint8) for i in range(10)]


def batches(path, batch_size, text="", phase=TEST, backend="LMDB", rand_skip=0, seed=1):
    transformer = DataTransformer(text_format.Parse(text, TransformationParameter()), phase)
    stream = RandomStream(seed, "data")
    records = DatabaseRecords(path, backend, transformer.color)
    records.skip_at_random(rand_skip, stream)
    return ImageBatches(records, BatchRows(batch_size), transformer, stream)


def assert_same(batch, other):
    for values, others in zip(batch.tops, other.tops, strict=True):
        np.testing.assert_array_equal(values, others)


@pytest.fixture
def database(make_database):
    return make_database(IMAGES)


@pytest.mark.parametrize(
    "case", ["lmdb_scale", "lmdb_mean_file_crop", "leveldb_mean_value", "encoded_png"]
)
def test_batches_equal_those_of_caffe(golden_files, case):
    with np.load(GOLDEN / "data" / f"{case}.npz") as golden:
        text = str(golden["prototxt"]).replace("FILES", str(golden_files))
        layer = text_format.Parse(text, NetParameter()).layer[0]
        param = layer.data_param
        source = ImageBatches(
            DatabaseRecords(param.source, type(param).DB.Name(param.backend)),
            BatchRows(param.batch_size),
            DataTransformer(layer.transform_param, TEST),
            RandomStream(0, layer.name),
        )
        for i in range(int(golden["batches"])):
            batch = source.next()
            assert [values.shape for values in batch.tops] == source.shapes
            for values, name in zip(batch.tops, ("data", "label"), strict=True):
                assert values.dtype == np.float32
                np.testing.assert_array_equal(values, golden[f"batch.{i}.{name}"])
        source.close()


def test_batches_are_cyclic_and_restarts_are_logged(database, caplog_minicaffe):
    caplog_minicaffe.clear()
    source = batches(database, 4)
    assert source.shapes == [(4, 1, 4, 5), (4,)]
    labels = [source.next().tops[1].tolist() for _ in range(5)]
    assert labels == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1], [2, 3, 4, 5], [6, 7, 8, 9]]
    assert caplog_minicaffe.messages == [
        f"Opened lmdb {database}",
        *["Restarting data prefetching from start."] * 2,
    ]
    source.close()


def test_keys(database):
    source = batches(database, 3)
    assert source.next().keys == [b"00000000", b"00000001", b"00000002"]
    source.close()


def test_a_restored_source_continues_exactly(database):
    text = "crop_size: 2 mirror: true"
    source = batches(database, 4, text, TRAIN)
    made = [source.next() for _ in range(6)]
    again = batches(database, 4, text, TRAIN)
    again.restore(json.loads(json.dumps(made[2].position)))
    for batch in made[3:]:
        repeated = again.next()
        assert_same(repeated, batch)
        assert repeated.position == batch.position
    assert made[2].position == {"key": "00000002", "records": 12, "step": 3}
    source.close()
    again.close()


def test_keys_of_any_bytes_survive_the_position(tmp_path):
    from minicaffe.data.datum import encode_datum
    from minicaffe.data.db import create_database

    path = str(tmp_path / "db")
    with create_database(path, "LMDB") as new:
        for key in (b"a", b"\xff\x00\xe9"):
            new.put(key, encode_datum(IMAGES[0], 0))
    source = batches(path, 1)
    position = json.loads(json.dumps(source.next().position))
    source.next()
    source.restore(position)
    assert source.next().keys == [b"\xff\x00\xe9"]
    source.close()


@pytest.mark.parametrize("name", ["db_raw_lmdb", "db_encoded_lmdb"])
def test_several_threads_decode_the_same_batches(golden_files, name):
    text = "crop_size: 16 force_color: true"
    transformer = DataTransformer(text_format.Parse(text, TransformationParameter()), TRAIN)
    made = []
    for threads in (1, 3):
        stream = RandomStream(2, "data")
        records = DatabaseRecords(str(golden_files / name), "LMDB", transformer.color)
        source = ImageBatches(records, BatchRows(7), transformer, stream, threads=threads)
        made.append([source.next() for _ in range(5)])
        source.close()
    for one, three in zip(*made, strict=True):
        assert_same(one, three)
        assert (one.keys, one.position) == (three.keys, three.position)


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    path = str(tmp_path / "db")
    with create_database(path, "LMDB") as database:
        for i in range(6):
            content = encode_image(np.full((1, 4, 5), i, np.uint8), "png")
            database.put(b"%d" % i, encoded_datum(content[: 40 if i in (3, 5) else None], i))
    stream, transformer = RandomStream(1, "data"), DataTransformer(TransformationParameter(), TEST)
    source = ImageBatches(
        DatabaseRecords(path, "LMDB"), BatchRows(6), transformer, stream, threads=2
    )
    with pytest.raises(DataError, match=r"db, key '3': not an image that can be decoded"):
        source.next()
    source.close()


def test_rand_skip(database, caplog_minicaffe):
    starts = set()
    for seed in range(12):
        source = batches(database, 1, rand_skip=3, seed=seed)
        skipped = int(re.findall(r"Skipping first (\d) data points.", caplog_minicaffe.text)[-1])
        assert source.next().tops[1][0] == skipped
        starts.add(skipped)
        source.close()
    assert starts == {0, 1, 2}


def test_images_of_different_sizes(make_database):
    path = make_database([np.zeros((1, 4, 5), np.uint8), np.zeros((1, 6, 5), np.uint8)])
    source = batches(path, 2)
    with pytest.raises(DataError) as caught:
        source.next()
    assert str(caught.value) == (
        f"{path}, key '00000001': the image is 1 x 6 x 5 (channels x rows x columns), but the "
        f"batch began with 1 x 4 x 5 ({path}, key '00000000'); a batch has one size. Use crop_size "
        "or batch_size: 1, or convert with --resize_height and --resize_width."
    )
    source.close()
    single = batches(path, 1)
    assert [single.next().tops[0].shape for _ in range(3)] == [
        (1, 1, 4, 5),
        (1, 1, 6, 5),
        (1, 1, 4, 5),
    ]
    single.close()
    cropped = batches(path, 2, "crop_size: 4")
    assert cropped.next().tops[0].shape == (2, 1, 4, 4)
    cropped.close()


def test_images_of_different_colours(make_database):
    source = batches(make_database([np.zeros((c, 4, 5), np.uint8) for c in (3, 1)]), 2)
    with pytest.raises(DataError, match=r"is 1 x 4 x 5 .* Use force_color or force_gray in tran"):
        source.next()
    source.close()


def test_first_record_that_does_not_fit_the_transformation(database):
    with pytest.raises(DataError, match=r"key '00000000': transform_param: crop_size 5 is larger"):
        batches(database, 2, "crop_size: 5")


def test_later_record_smaller_than_the_crop(make_database):
    path = make_database([np.zeros((1, 4, 5), np.uint8), np.zeros((1, 3, 5), np.uint8)])
    source = batches(path, 2, "crop_size: 4")
    with pytest.raises(DataError, match=r"key '00000001': transform_param: crop_size 4 is larger"):
        source.next()
    source.close()


def test_no_batch_size(database):
    with pytest.raises(DataError, match="batch_size is 0; it must be 1 or more"):
        batches(database, 0)


def labels_of(records, n):
    return [int(record.label) for record in records.take(n)]


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
def test_a_shuffled_database_has_another_order_in_each_round(make_database, backend):
    path = make_database(IMAGES, backend=backend)
    stream = RandomStream(1, "data")
    records = ShuffledDatabaseRecords(path, backend, None, stream)
    rounds = [labels_of(records, 10) for _ in range(3)]
    assert all(sorted(order) == list(range(10)) for order in rounds)
    assert len({tuple(order) for order in rounds}) == 3
    taken = records.take(4)
    position = records.position()
    rest = labels_of(records, 9)
    assert [int(record.load().flat[0]) for record in taken] == [int(r.label) for r in taken]
    again = ShuffledDatabaseRecords(path, backend, None, stream)
    again.restore(position)
    assert labels_of(again, 9) == rest
    other = ShuffledDatabaseRecords(path, backend, None, RandomStream(2, "data"))
    assert labels_of(other, 10) != rounds[0]
    for each in (records, again, other):
        each.close()
