import numpy as np
import pytest

from minicaffe.data.datum import decode_datum, encode_datum, encoded_datum
from minicaffe.data.image import encode_image
from minicaffe.errors import DataError
from minicaffe.schema.minicaffe_pb2 import Datum

WHERE = "train_lmdb, key '00000007'"


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_round_trip(dtype):
    picture = (np.arange(2 * 3 * 5) * 7.5).astype(dtype).reshape(2, 3, 5)
    back, label = decode_datum(encode_datum(picture, -3), None, WHERE)
    assert back.dtype == dtype
    assert label == -3
    np.testing.assert_array_equal(back, picture)


def test_double_pictures_are_stored_as_float():
    back, _ = decode_datum(encode_datum(np.full((1, 1, 2), 0.1), 0), None, WHERE)
    np.testing.assert_array_equal(back, np.full((1, 1, 2), 0.1, np.float32))


@pytest.mark.parametrize(("color", "channels"), [(None, 1), (True, 3), (False, 1)])
def test_encoded_picture_is_converted_as_asked(color, channels):
    content = encode_image(np.full((1, 4, 6), 90, np.uint8), "png")
    picture, label = decode_datum(encoded_datum(content, 2), color, WHERE)
    assert label == 2
    np.testing.assert_array_equal(picture, np.full((channels, 4, 6), 90))


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


def test_picture_file_that_is_not_marked_as_encoded():
    value = Datum(data=b"\x89PNG and so on").SerializeToString()
    with pytest.raises(DataError, match="its writer forgot encoded: true"):
        decode_datum(value, None, WHERE)


def test_empty_record():
    with pytest.raises(DataError, match="the Datum holds 0 values"):
        decode_datum(b"", None, WHERE)


def test_undecodable_picture():
    with pytest.raises(
        DataError, match=r"key '00000007': not a picture that can be decoded \(4 byt"
    ):
        decode_datum(encoded_datum(b"\xff\xd8\xff\xe0", 0), None, WHERE)
