"""Encoding and decoding of Datum, the record of Caffe's databases.

A Datum holds one image and one whole-number label. The image is raw bytes (uint8, channels x
rows x columns, colours in the order blue, green, red), ``float_data`` in the same order, or the
bytes of an encoded file (JPEG, PNG) with ``encoded: true``.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from minicaffe.errors import DataError
from minicaffe.schema.minicaffe_pb2 import Datum
from minicaffe.wire_format import length_delimited, read_varint

ImageArray = NDArray[np.uint8] | NDArray[np.float32]
Bytes: TypeAlias = bytes | memoryview


def encode_datum(image: ImageArray, label: int | None) -> bytes:
    """Return the bytes of a Datum with raw values.

    Parameters
    ----------
    image : ndarray, shape (channels, rows, columns)
        uint8 is stored as ``data``, anything else as ``float_data``. Read only.
    label : int or None
        A class, or any other 32-bit number; None for a Datum without a label.
    """
    channels, height, width = image.shape
    if image.dtype != np.uint8:
        datum = Datum(channels=channels, height=height, width=width, label=label)
        datum.float_data.extend(image.astype(np.float32, copy=False).ravel())
        return datum.SerializeToString()
    # protobuf writes fields in the order of their numbers, and would copy the values twice.
    before = Datum(channels=channels, height=height, width=width).SerializeToString()
    values = np.ascontiguousarray(image).reshape(-1).data
    data = length_delimited(Datum.DATA_FIELD_NUMBER, [values])
    # Caffe's converters write the default out; so do we, for files equal to theirs.
    return b"".join([before, *data, Datum(label=label, encoded=False).SerializeToString()])


def encoded_datum(content: bytes, label: int, shape: tuple[int, ...] = ()) -> bytes:
    """Return the bytes of a Datum that holds an encoded image (the content of a file).

    `shape` is channels, rows and columns; Caffe leaves them out, SSD does not.
    """
    datum = Datum(data=content, label=label, encoded=True)
    if shape:
        datum.channels, datum.height, datum.width = shape
    return datum.SerializeToString()


def parse_datum(value: bytes, where: object) -> Datum:
    """Parse a record; the ``str`` of `where` names database and key in the error."""
    try:
        return Datum.FromString(value)
    except DecodeError as error:
        raise DataError(
            f"{where}: {len(value)} bytes that are not a Datum; Data layers read databases of "
            "Datum messages. Write one with convert_imageset."
        ) from error


class StoredImage(NamedTuple):
    """The content of a record.

    Parameters
    ----------
    data : bytes-like
        Raw values, or a file; a view of the record where that is possible.
    floats : ndarray, float32
        The values if there are no `data`.
    shape : tuple of int
        Channels, rows and columns of raw values.
    label : int
    is_encoded : bool
        Whether `data` are the content of a file.
    """

    data: Bytes
    floats: NDArray[np.float32] | None
    shape: tuple[int, int, int]
    label: int
    is_encoded: bool

    def decode(self, color: bool | None, where: object) -> ImageArray:
        """Return the image; see `decode_datum`. A raw one is a view of the record."""
        if self.is_encoded:
            # Imported here, because Pillow is slow to import.
            from minicaffe.data.image import decode_image

            return decode_image(bytes(self.data), color, where)
        image: ImageArray = np.frombuffer(self.data, np.uint8)
        if self.floats is not None:
            image = self.floats
        if not image.size or image.size != math.prod(self.shape):
            raise DataError(self._wrong_size(image.size, where))
        return image.reshape(self.shape)

    def _wrong_size(self, found: int, where: object) -> str:
        if bytes(self.data[:3]) == b"\xff\xd8\xff" or bytes(self.data[:4]) == b"\x89PNG":
            fix = "The bytes are a JPEG or PNG file: its writer forgot encoded: true."
        else:
            fix = "Write the database again."
        return (
            f"{where}: the Datum holds {found} values; its channels x height x width, "
            f"{' x '.join(map(str, self.shape))}, ask for {math.prod(self.shape)}. {fix}"
        )


def read_datum(value: Bytes, where: object) -> StoredImage:
    """Parse a record, without copying its bytes if they are contiguous.

    Raises
    ------
    DataError
        If the bytes are no Datum; the ``str`` of `where` names database and key.
    """
    found = _scan_cached(memoryview(value))
    if found is not None:
        return found
    return stored_image(parse_datum(bytes(value), where))


def stored_image(datum: Datum) -> StoredImage:
    """Return the content of a parsed record."""
    data = datum.data  # every access makes a copy
    floats = None if data else np.array(datum.float_data, np.float32)
    shape = datum.channels, datum.height, datum.width
    return StoredImage(data, floats, shape, datum.label, datum.encoded)


def decode_datum(value: Bytes, color: bool | None, where: object) -> tuple[ImageArray, int]:
    """Return image and label of a record.

    Parameters
    ----------
    value : bytes-like
        The record.
    color : bool or None
        For encoded images: True converts to blue-green-red, False to grey, None keeps what the
        file has. Raw images are not converted.
    where : object
        Its ``str`` names database and key in errors.

    Returns
    -------
    image : ndarray, shape (channels, rows, columns)
        uint8, 0 to 255, or float32 from ``float_data``. Read only.
    label : int

    Raises
    ------
    DataError
        If the bytes are no Datum, the image cannot be decoded, or its size differs from the
        shape in the record.
    """
    found = read_datum(value, where)
    return found.decode(color, where), found.label


# Keys of the wire format: number of the field * 8 + 2 for bytes, + 0 for whole numbers.
_DATA = 4 * 8 + 2
_CHANNELS, _HEIGHT, _WIDTH, _LABEL, _ENCODED = _NUMBERS = 1 * 8, 2 * 8, 3 * 8, 5 * 8, 7 * 8


# Raw images of one size differ in their values and labels only, so that parsing can be cached:
# by the length of a record the range of its values, by the bytes outside it shape and label.
_RANGES: dict[int, tuple[int, int]] = {}
_HEADERS: dict[tuple[int, bytes], tuple[tuple[int, int, int], int]] = {}
MOST_HEADERS = 4096


def _scan_cached(value: memoryview) -> StoredImage | None:
    """Return the result of `_scan`, from the cache if a record with equal header was parsed."""
    found_range = _RANGES.get(len(value))
    if found_range is not None:
        known = _HEADERS.get(_header(value, *found_range))
        if known is not None:
            return StoredImage(value[slice(*found_range)], None, *known, is_encoded=False)
    found = _scan(value)
    if found is None:
        return None
    stored, begin = found
    if not stored.is_encoded:
        if len(_HEADERS) >= MOST_HEADERS:
            _RANGES.clear()
            _HEADERS.clear()
        found_range = _RANGES[len(value)] = begin, begin + len(stored.data)
        _HEADERS[_header(value, *found_range)] = stored.shape, stored.label
    return stored


def _header(value: memoryview, begin: int, end: int) -> tuple[int, bytes]:
    return begin, bytes(value[:begin]) + bytes(value[end:])


def _scan(value: memoryview) -> tuple[StoredImage, int] | None:
    """Find the fields of a record as our and Caffe's converters write them, and where data begin.

    Parsing copies the bytes twice, which takes longer than all else that is done to a raw image.
    For what is not as expected, damaged or with float_data, return None.
    """
    numbers = dict.fromkeys(_NUMBERS, 0)
    data, begin, at, end = value[:0], 0, 0, len(value)
    try:
        while at < end:
            key = value[at]
            number, at = read_varint(value, at + 1)
            if key == _DATA:
                data, begin, at = value[at : at + number], at, at + number
            elif key in numbers:
                numbers[key] = number
            else:
                return None
    except IndexError:
        return None
    if at > end or not data:
        return None
    shape = _int32(numbers[_CHANNELS]), _int32(numbers[_HEIGHT]), _int32(numbers[_WIDTH])
    is_encoded = numbers[_ENCODED] != 0
    return StoredImage(data, None, shape, _int32(numbers[_LABEL]), is_encoded), begin


def _int32(number: int) -> int:
    low = number & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low
