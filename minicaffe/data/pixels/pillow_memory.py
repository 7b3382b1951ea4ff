"""The memory of Pillow's images, by the Arrow interface: reading it directly saves two copies."""

from __future__ import annotations

import ctypes

import numpy as np
from PIL import Image

from minicaffe.data.pixels.kernels import Pixels, c_function


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


def planes_of_image(image: Image.Image) -> Pixels | None:
    """Return the planes of blue, green and red of a loaded image of mode RGB.

    Returns
    -------
    ndarray, uint8, shape (3, rows, columns), or None
        None if the memory of the image cannot be read directly.
    """
    function = c_function("planes_of_rgb")
    if function is None or not hasattr(image, "__arrow_c_array__"):  # Pillow before 11.2
        return None
    try:
        _, capsule = image.__arrow_c_array__()
    except ValueError:  # a large image, in several pieces of memory
        return None
    columns, rows = image.size
    planes = np.empty((3, rows, columns), np.uint8)
    # One list of four bytes for each pixel, whose values are in the buffer after that of nulls.
    array = _ArrowArray.from_address(_address(capsule, b"arrow_array"))
    function(array.children[0].contents.buffers[1], 4, planes.ctypes.data, rows * columns)
    return planes
