"""The memory of Pillow's images, by the Arrow interface: reading it directly saves two copies."""

from __future__ import annotations

import ctypes

import numpy as np
from PIL import Image

from minicaffe.data.pixels.kernels import Pixels, c_function
from minicaffe.data.pixels.resizing import bilinear_taps


class _ArrowArray(ctypes.Structure):
    """The structure of that name of Arrow's C data interface, up to what is read here."""


_ArrowArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowArray))),
]

_address = ctypes.pythonapi.PyCapsule_GetPointer
_address.restype = ctypes.c_void_p
_address.argtypes = [ctypes.py_object, ctypes.c_char_p]


def planes_of_image(image: Image.Image, size: tuple[int, int] | None = None) -> Pixels | None:
    """Return the planes of blue, green and red of an image of mode RGB, maybe resized.

    Parameters
    ----------
    image : PIL.Image.Image
    size : tuple of int, optional
        Rows and columns. The planes are resized to them, as `resize` does, or not: in one pass, if
        that is possible.

    Returns
    -------
    ndarray, uint8, shape (3, rows, columns), or None
        None if the memory of the image cannot be read directly.
    """
    divide, resize = c_function("planes_of_rgb"), c_function("resize_rgb")
    # Pillow before 11.2 has no such method.
    if divide is None or resize is None or not hasattr(image, "__arrow_c_array__"):
        return None
    image.load()  # so that a ValueError below is not about a damaged file
    try:
        _, capsule = image.__arrow_c_array__()
    except ValueError:  # a large image, in several pieces of memory
        return None
    # One list of four bytes for each pixel, whose values are in the buffer after that of nulls.
    array = _ArrowArray.from_address(_address(capsule, b"arrow_array"))
    address = array.children[0].contents.buffers[1]
    columns, rows = image.size
    taps = None if size is None else bilinear_taps((rows, columns), size)
    if size is None or taps is None:
        planes = np.empty((3, rows, columns), np.uint8)
        divide(address, 4, planes.ctypes.data, rows * columns)
        return planes
    planes = np.empty((3, *size), np.uint8)
    scratch = np.empty((3, 4 * (size[1] + size[1] % 2)), np.uint16)
    tables = (*taps[1], *taps[0], scratch, scratch[2])
    resize(address, columns, planes.ctypes.data, *size, *(table.ctypes.data for table in tables))
    return planes
