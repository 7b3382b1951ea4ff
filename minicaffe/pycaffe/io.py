"""caffe.io: images, and conversion between arrays and BlobProto or Datum messages."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from minicaffe.errors import ArraySizeError, DataError, nearest
from minicaffe.ops.backend import HostArray
from minicaffe.pycaffe.images import load_image, oversample, resize_image
from minicaffe.pycaffe.misuse import require_message
from minicaffe.pycaffe.transformer import Transformer
from minicaffe.schema import BlobProto, Datum
from minicaffe.schema import minicaffe_pb2 as caffe_pb2
from minicaffe.schema.blobs import blob_shape
from minicaffe.schema.minicaffe_pb2 import BlobProtoVector

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]


def blobproto_to_array(blob: BlobProto, return_diff: bool = False) -> HostArray:
    """Return the values of a BlobProto, or their gradient, in the stored shape.

    The fields num, channels, height and width of old files give a 4-D array; a blob without a shape
    is a scalar.

    Raises
    ------
    ArraySizeError
        If the number of values does not match the shape.
    """
    require_message(blob, "BlobProto")
    field = "diff" if return_diff else "data"
    values = np.array(getattr(blob, field) or getattr(blob, f"double_{field}"), np.float32)
    shape = blob_shape(blob)
    if shape is None:
        shape = ()
    if values.size != math.prod(shape):
        given = f"of shape {shape}" if shape else "without a shape, a single number,"
        raise ArraySizeError(f"a BlobProto {given} has {values.size} values in {field}")
    return values.reshape(shape)


def array_to_blobproto(arr: npt.ArrayLike, diff: npt.ArrayLike | None = None) -> BlobProto:
    """Return a BlobProto with the shape and values of an array, and optionally the gradient."""
    values = np.asarray(arr)
    blob = BlobProto()
    blob.shape.dim.extend(values.shape)
    blob.data.extend(values.astype(float).ravel())
    if diff is not None:
        blob.diff.extend(np.asarray(diff).astype(float).ravel())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[npt.ArrayLike]) -> bytes:
    """Return arrays as the bytes of a BlobProtoVector."""
    vector = BlobProtoVector(blobs=[array_to_blobproto(arr) for arr in arraylist])
    return vector.SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[HostArray]:
    """Return the arrays in the bytes of a BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: HostArray, label: int | None = None) -> Datum:
    """Return a Datum with the values of an array: bytes for uint8, else floats.

    Parameters
    ----------
    arr : ndarray
        Channels × rows × columns.
    label : int, optional
        The label, an integer.

    Raises
    ------
    ValueError
        If the array does not have three axes.
    """
    if not isinstance(arr, np.ndarray):
        raise TypeError(f"array_to_datum takes an array, found {type(arr).__name__}; np.array(x)")
    if arr.ndim != 3:
        error = ValueError("Incorrect array shape.")
        error.add_note(f"A Datum is channels x rows x columns; the array has shape {arr.shape}.")
        raise error
    channels, height, width = arr.shape
    datum = Datum(channels=channels, height=height, width=width)
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).ravel())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Datum) -> HostArray:
    """Return the values of a Datum without its label, channels × rows × columns.

    Raises
    ------
    DataError
        If the Datum contains an encoded image.
    """
    require_message(datum, "Datum")
    if datum.encoded:
        raise DataError(
            "the Datum contains an encoded image (JPEG or PNG); decode datum.data, for example by "
            "PIL.Image.open(io.BytesIO(datum.data))"
        )
    if datum.data:
        values: HostArray = np.frombuffer(datum.data, np.uint8).copy()
    else:
        values = np.array(datum.float_data, float)
    return values.reshape(datum.channels, datum.height, datum.width)


# Names that pycaffe's module had because it imported them.
_IMPORTED_BY_PYCAFFE = {
    "resize": "write caffe.io.resize_image(image, (rows, columns)), or skimage.transform.resize",
    "skimage": "write import skimage in the program; caffe.io.load_image reads images",
    "zoom": "write caffe.io.resize_image(array, (rows, columns)), or scipy.ndimage.zoom",
}


def __getattr__(name: str) -> NoReturn:
    if name in _IMPORTED_BY_PYCAFFE:
        raise AttributeError(
            f"caffe.io.{name} is not part of Caffe's API, whose module imported it by chance; "
            f"{_IMPORTED_BY_PYCAFFE[name]}"
        )
    known = "" if name.startswith("__") else f". {nearest(name, __all__)}"
    raise AttributeError(f"module 'caffe.io' has no attribute {name!r}{known}")
