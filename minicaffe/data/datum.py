"""Datum, the record of Caffe's databases: bytes to arrays and back.

A Datum holds one picture and one whole-number label. The picture is raw bytes (uint8, channels x
rows x columns, colours in the order blue, green, red), ``float_data`` in the same order, or the
bytes of an encoded file (JPEG, PNG) with ``encoded: true``.
"""

from __future__ import annotations

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from minicaffe.errors import DataError
from minicaffe.schema.minicaffe_pb2 import Datum

Picture = NDArray[np.uint8] | NDArray[np.float32]


def encode_datum(image: Picture, label: int) -> bytes:
    """Return the bytes of a Datum with raw values.

    Parameters
    ----------
    image : ndarray, shape (channels, rows, columns)
        uint8 is stored as ``data``, anything else as ``float_data``. Read only.
    label : int
        A class, or any other 32-bit number.
    """
    channels, height, width = image.shape
    datum = Datum(channels=channels, height=height, width=width, label=label)
    if image.dtype == np.uint8:
        datum.data = image.tobytes()
        # Caffe's converters write the default out; so do we, for files equal to theirs.
        datum.encoded = False
    else:
        datum.float_data.extend(image.astype(np.float32, copy=False).ravel())
    return datum.SerializeToString()


def encoded_datum(content: bytes, label: int) -> bytes:
    """Return the bytes of a Datum that holds an encoded picture (the content of a file)."""
    return Datum(data=content, label=label, encoded=True).SerializeToString()


def parse_datum(value: bytes, where: object) -> Datum:
    """Parse a record; the ``str`` of `where` names database and key in the error."""
    try:
        return Datum.FromString(value)
    except DecodeError as error:
        raise DataError(
            f"{where}: {len(value)} bytes that are not a Datum; Data layers read databases of "
            "Datum messages. Write one with convert_imageset."
        ) from error


def decode_datum(value: bytes, color: bool | None, where: object) -> tuple[Picture, int]:
    """Return picture and label of a record.

    Parameters
    ----------
    value : bytes
        The record.
    color : bool or None
        For encoded pictures: True converts to blue-green-red, False to grey, None keeps what the
        file has. Raw pictures stay as they are.
    where : object
        Its ``str`` names database and key in errors.

    Returns
    -------
    picture : ndarray, shape (channels, rows, columns)
        uint8, 0 to 255, or float32 from ``float_data``. Read only.
    label : int

    Raises
    ------
    DataError
        If the bytes are no Datum, the picture cannot be decoded, or its size is not what the
        record says.
    """
    datum = parse_datum(value, where)
    if datum.encoded:
        # Pillow is imported for those who have encoded pictures only.
        from minicaffe.data.image import decode_image

        return decode_image(datum.data, color, where), datum.label
    shape = datum.channels, datum.height, datum.width
    picture: Picture
    data = datum.data  # every access makes a copy
    if data:
        picture = np.frombuffer(data, dtype=np.uint8)
    else:
        picture = np.array(datum.float_data, dtype=np.float32)
    if not picture.size or picture.size != shape[0] * shape[1] * shape[2]:
        raise DataError(_wrong_size(datum, picture.size, where))
    return picture.reshape(shape), datum.label


def _wrong_size(datum: Datum, found: int, where: object) -> str:
    expected = datum.channels * datum.height * datum.width
    if datum.data[:3] == b"\xff\xd8\xff" or datum.data[:4] == b"\x89PNG":
        fix = "The bytes are a JPEG or PNG file: its writer forgot encoded: true."
    else:
        fix = "Write the database again."
    return (
        f"{where}: the Datum holds {found} values; its channels x height x width, {datum.channels} "
        f"x {datum.height} x {datum.width}, ask for {expected}. {fix}"
    )
