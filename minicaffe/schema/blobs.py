"""Conversion between arrays and the bytes of BlobProto, without a Python object per value."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe.schema.minicaffe_pb2 import BlobProto, BlobShape
from minicaffe.schema.weights_pb2 import BlobWeights, C3DBlobWeights
from minicaffe.wire_format import ByteChunk, Outline, length_delimited

Floats = npt.NDArray[np.float32]

_RAW_DTYPES = {
    BlobWeights.DOUBLE: "<f8",
    BlobWeights.FLOAT: "<f4",
    BlobWeights.FLOAT16: "<f2",
    BlobWeights.INT: "<i4",
    BlobWeights.UINT: "<u4",
    BlobWeights.BOOL: "?",
}
_DATA, _DIFF, _SHAPE = 5, 6, 7


def blob_shape(blob: BlobWeights | BlobProto) -> tuple[int, ...] | None:
    """Return the shape stored in a blob, or None if it has none.

    The fields num, channels, height and width of old files give a 4-D shape: a bias is (1, 1, 1, n)
    there.
    """
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return (blob.num, blob.channels, blob.height, blob.width)
    return None


def blob_array(blob: BlobWeights, outline: Outline[Any]) -> Floats:
    """Return the values of a blob of an outline, as a view of the file.

    Returns
    -------
    ndarray
        float32, read-only, in the blob's shape; double and half precision are converted.

    Raises
    ------
    ValueError
        The number of values does not match the shape.
    """
    if is_c3d(blob):
        return _c3d_array(blob, outline)
    shape = blob_shape(blob)
    values = _values(blob, outline)
    expected = None if shape is None else int(np.prod(shape))
    if values.size == 0 and expected != 0:
        values = _unpacked(blob)
    if shape is None:
        return values
    if values.size != expected:
        raise ValueError(f"a blob of shape {shape} has {values.size} values")
    return values.reshape(shape)


def is_c3d(blob: BlobWeights) -> bool:
    """Return whether C3D 1.0 wrote a blob: its values are in the field that Caffe has for diff."""
    return blob.HasField("diff") and not (
        blob.HasField("data") or blob.HasField("double_data") or blob.HasField("raw_data")
    )


def _c3d_array(blob: BlobWeights, outline: Outline[Any]) -> Floats:
    stored = C3DBlobWeights.FromString(blob.SerializePartialToString())
    shape = (stored.num, stored.channels, stored.length, stored.height, stored.width)
    values = np.frombuffer(outline.content(stored.data), "<f4").astype(np.float32, copy=False)
    if values.size != np.prod(shape):
        raise ValueError(f"a blob of shape {shape} has {values.size} values")
    return values.reshape(shape)


def _values(blob: BlobWeights, outline: Outline[Any]) -> Floats:
    if blob.HasField("raw_data"):
        dtype = _RAW_DTYPES[blob.raw_data_type]
        stored: npt.NDArray[np.generic] = np.frombuffer(outline.content(blob.raw_data), dtype)
    elif blob.HasField("double_data"):
        stored = np.frombuffer(outline.content(blob.double_data), "<f8")
    else:
        stored = np.frombuffer(outline.content(blob.data), "<f4")
    return stored.astype(np.float32, copy=False)


def _unpacked(blob: BlobWeights) -> Floats:
    """Return values stored without packing, which BlobWeights parses as an unknown field."""
    full = BlobProto.FromString(blob.SerializePartialToString())
    return np.fromiter(full.data or full.double_data, np.float32)


def blob_field(
    number: int, data: npt.ArrayLike, diff: npt.ArrayLike | None = None
) -> list[ByteChunk]:
    """Return an array as field `number` of a message, of type BlobProto, in chunks to be written.

    Parameters
    ----------
    number : int
        The number of the field.
    data : array_like
        The values; written as float32.
    diff : array_like, optional
        The gradient, of the same shape.
    """
    values = np.ascontiguousarray(data, "<f4")
    content = _floats(_DATA, values)
    if diff is not None:
        content += _floats(_DIFF, np.ascontiguousarray(diff, "<f4"))
    # ascontiguousarray gives a scalar one axis, so the shape is taken from the original.
    shape = BlobShape(dim=np.shape(data)).SerializeToString()
    return length_delimited(number, content + length_delimited(_SHAPE, [shape]))


def _floats(number: int, values: Floats) -> list[ByteChunk]:
    if values.size == 0:
        return []
    return length_delimited(number, [values.reshape(-1).view(np.uint8).data])
