"""Arrays in the form of BlobProto: to and from its bytes, without a Python object per value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe.schema.minicaffe_pb2 import BlobProto, BlobShape
from minicaffe.schema.weights_pb2 import BlobWeights

Floats = npt.NDArray[np.float32]
Piece = bytes | memoryview

_RAW_DTYPES = {
    BlobWeights.DOUBLE: "<f8",
    BlobWeights.FLOAT: "<f4",
    BlobWeights.FLOAT16: "<f2",
    BlobWeights.INT: "<i4",
    BlobWeights.UINT: "<u4",
    BlobWeights.BOOL: "?",
}
_LENGTH_DELIMITED = 2
_DATA, _DIFF, _SHAPE = 5, 6, 7


def blob_shape(blob: BlobWeights | BlobProto) -> tuple[int, ...] | None:
    """Return the shape that is written in a blob, or None if none is.

    The four numbers of old files stay a 4-D shape: a bias is (1, 1, 1, n) there.
    """
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return (blob.num, blob.channels, blob.height, blob.width)
    return None


def blob_array(blob: BlobWeights) -> Floats:
    """Return the values of a blob.

    Returns
    -------
    ndarray
        float32, read-only, in the blob's shape; double and half precision are converted.

    Raises
    ------
    ValueError
        The number of values does not fit the shape.
    """
    shape = blob_shape(blob)
    values = _values(blob)
    wanted = None if shape is None else int(np.prod(shape))
    if values.size == 0 and wanted != 0:
        values = _unpacked(blob)
    if shape is None:
        return values
    if values.size != wanted:
        raise ValueError(f"a blob of shape {shape} holds {values.size} values")
    return values.reshape(shape)


def _values(blob: BlobWeights) -> Floats:
    if blob.HasField("raw_data"):
        stored: npt.NDArray[Any] = np.frombuffer(blob.raw_data, _RAW_DTYPES[blob.raw_data_type])
    elif blob.HasField("double_data"):
        stored = np.frombuffer(blob.double_data, "<f8")
    else:
        stored = np.frombuffer(blob.data, "<f4")
    return stored.astype(np.float32, copy=False)


def _unpacked(blob: BlobWeights) -> Floats:
    """Return values that were written one by one: to the light view they are an unknown field."""
    full = BlobProto.FromString(blob.SerializePartialToString())
    return np.fromiter(full.data or full.double_data, np.float32)


def blob_record(number: int, data: npt.ArrayLike, diff: npt.ArrayLike | None = None) -> list[Piece]:
    """Return a BlobProto as field `number` of a message, in pieces to be written one by one.

    Parameters
    ----------
    number : int
        The field that holds the blob.
    data : array_like
        The values; written as float32.
    diff : array_like, optional
        The gradient, of the same shape.
    """
    values = np.ascontiguousarray(data, "<f4")
    content = _floats(_DATA, values)
    if diff is not None:
        content += _floats(_DIFF, np.ascontiguousarray(diff, "<f4"))
    # ascontiguousarray turns a scalar into one of one axis, so the shape comes from the original.
    shape = BlobShape(dim=np.shape(data)).SerializeToString()
    return record(number, content + record(_SHAPE, [shape]))


def _floats(number: int, values: npt.NDArray[Any]) -> list[Piece]:
    if values.size == 0:
        return []
    return record(number, [values.reshape(-1).view(np.uint8).data])


def record(number: int, content: Iterable[Piece]) -> list[Piece]:
    """Return `content` as length-delimited field `number`: its key, its length, and itself."""
    pieces = list(content)
    size = sum(len(piece) for piece in pieces)
    return [_varint(number << 3 | _LENGTH_DELIMITED) + _varint(size), *pieces]


def _varint(number: int) -> bytes:
    """Return a number seven bits a byte, lowest first, as the wire format wants it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
