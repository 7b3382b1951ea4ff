import itertools

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from minicaffe.data import datum
from minicaffe.data.datum import decode_datum, encode_datum, encoded_datum, read_datum
from minicaffe.data.image import encode_image
from minicaffe.errors import DataError
from minicaffe.schema.minicaffe_pb2 import Datum

WHERE = "train_lmdb, key '00000007'"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_round_trip(dtype):
    image = (np.arange(2 * 3 * 5) * 7.5).astype(dtype).reshape(2, 3, 5)
    back, label = decode_datum(encode_datum(image, -3), None, WHERE)
    assert back.dtype == dtype
    assert label == -3
    np.testing.assert_array_equal(back, image)


def test_double_images_are_stored_as_float():
    back, _ = decode_datum(encode_datum(np.full((1, 1, 2), 0.1), 0), None, WHERE)
    np.testing.assert_array_equal(back, np.full((1, 1, 2), 0.1, np.float32))


@pytest.mark.parametrize(("color", "channels"), [(None, 1), (True, 3), (False, 1)])
def test_encoded_image_is_converted_as_asked(color, channels):
    content = encode_image(np.full((1, 4, 6), 90, np.uint8), "png")
    image, label = decode_datum(encoded_datum(content, 2), color, WHERE)
    assert label == 2
    np.testing.assert_array_equal(image, np.full((channels, 4, 6), 90))


def fields(given):
    """The bytes of each field of a Datum."""
    parts = []
    for descriptor, value in given.ListFields():
        part = Datum()
        if descriptor.name == "float_data":
            part.float_data.extend(value)
        else:
            setattr(part, descriptor.name, value)
        parts.append(part.SerializeToString())
    return parts


def assert_read_as_protobuf_does(value):
    try:
        wanted = Datum.FromString(value)
    except DecodeError:
        with pytest.raises(DataError, match="bytes that are not a Datum"):
            read_datum(value, WHERE)
        return
    for given in (value, memoryview(value)):
        found = read_datum(given, WHERE)
        assert bytes(found.data) == wanted.data
        assert found.shape == (wanted.channels, wanted.height, wanted.width)
        assert (found.label, found.is_encoded) == (wanted.label, wanted.encoded)
        if not wanted.data:
            np.testing.assert_array_equal(found.floats, np.float32(wanted.float_data))


NUMBERS = {"channels": 3, "height": 128, "width": 70000, "label": -(2**31)}


@pytest.mark.parametrize(
    "more",
    [{"data": b"ab" * 99}, {"data": b"a", "encoded": True}, {"float_data": [1, -2.5]}, {}],
    ids=["raw", "encoded", "floats", "nothing"],
)
def test_fields_may_come_in_any_order_and_again(more):
    parts = fields(Datum(**NUMBERS, **more))
    for order in itertools.permutations(parts):
        assert_read_as_protobuf_does(b"".join(order))
    again = fields(Datum(channels=1, label=2**31 - 1, data=b"the last one counts"))
    assert_read_as_protobuf_does(b"".join([*parts, *again]))
    assert_read_as_protobuf_does(b"".join([*again, *parts]))


@pytest.mark.parametrize("encoded", [False, True])
def test_damaged_records_are_read_as_protobuf_reads_them(encoded):
    rng = np.random.default_rng(5)
    good = Datum(**NUMBERS, data=bytes(40), encoded=encoded).SerializeToString()
    for _ in range(3000):
        value = bytearray(good[: rng.integers(len(good) + 1)] + bytes(rng.integers(3)))
        for place in rng.integers(len(value), size=rng.integers(4)) if value else ():
            value[place] = rng.integers(256)
        assert_read_as_protobuf_does(bytes(value))


def test_records_of_one_length_are_read_as_protobuf_reads_them(monkeypatch):
    """Whatever was read before: other sizes, orders of fields and labels, more than are kept."""
    monkeypatch.setattr(datum, "MOST_HEADERS", 50)
    rng = np.random.default_rng(6)
    for _ in range(600):
        sizes = rng.permutation([2, 3, 4]).tolist()
        given = Datum(channels=sizes[0], height=sizes[1], width=sizes[2], data=rng.bytes(24))
        given.label = int(rng.integers(200))
        parts = fields(given)
        value = b"".join(parts[i] for i in (rng.permutation(5) if rng.random() < 0.5 else range(5)))
        assert_read_as_protobuf_does(value)
    assert len(datum._HEADERS) <= 50


def test_raw_images_are_not_copied():
    value = encode_datum(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), 0)
    image, _ = decode_datum(memoryview(value), None, WHERE)
    assert np.shares_memory(image, np.frombuffer(value, np.uint8))


def test_not_a_datum():
    with pytest.raises(DataError) as caught:
        decode_datum(b"hello, world", None, WHERE)
    assert str(caught.value) == (
        "train_lmdb, key '00000007': 12 bytes that are not a Datum; Data layers read databases of "
        "Datum messages. Write one with convert_imageset."
    )


def test_wrong_size():
    value = Datum(channels=3, height=4, width=5, data=bytes(59)).SerializeToString()
    with pytest.raises(
        DataError, match=r"key '00000007': the Datum holds 59 values; its channels x"
    ):
        decode_datum(value, None, WHERE)


def test_image_file_that_is_not_marked_as_encoded():
    value = Datum(data=b"\x89PNG and so on").SerializeToString()
    with pytest.raises(DataError, match="its writer forgot encoded: true"):
        decode_datum(value, None, WHERE)


def test_empty_record():
    with pytest.raises(DataError, match="the Datum holds 0 values"):
        decode_datum(b"", None, WHERE)


def test_undecodable_image():
    with pytest.raises(
        DataError, match=r"key '00000007': not an image that can be decoded \(4 byt"
    ):
        decode_datum(encoded_datum(b"\xff\xd8\xff\xe0", 0), None, WHERE)
