"""The output of `minicaffe device_query`: Caffe's lines in Caffe's order, then additional ones.

The numbers come from cudaDeviceGetAttribute, whose codes are the same in all versions of CUDA,
because the struct cudaDeviceProp lacks some of these fields since CUDA 13.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, TypeAlias

from minicaffe.backends.cuda.driver import libraries
from minicaffe.errors import BackendUnavailable

# CuPy has no type stubs.
_Runtime: TypeAlias = Any

WIDTH = 31

# Caffe's labels, and the codes of cudaDeviceAttr of their values.
_BEFORE_NAME = (("Major revision number", 75), ("Minor revision number", 76))
_AFTER_MEMORY: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("Total shared memory per block", (8,)),
    ("Total registers per block", (12,)),
    ("Warp size", (10,)),
    ("Maximum memory pitch", (11,)),
    ("Maximum threads per block", (1,)),
    ("Maximum dimension of block", (2, 3, 4)),
    ("Maximum dimension of grid", (5, 6, 7)),
    ("Clock rate", (13,)),
    ("Total constant memory", (9,)),
    ("Texture alignment", (14,)),
)
_COPY_ENGINES, _MULTIPROCESSORS, _TIMEOUT = 40, 16, 17
_MAJOR, _MINOR, _PATCH = range(3)  # of libraryPropertyType


def device_query_lines(runtime: _Runtime, number: int, cupy_version: str) -> Iterator[str]:
    """Yield the properties of a GPU, one line each.

    Parameters
    ----------
    runtime : module
        ``cupy.cuda.runtime``, or an object with the same functions.
    number : int
        Of the GPU, which is the current one.
    cupy_version : str
    """
    for name, value in _facts(runtime, number, cupy_version):
        yield f"{name + ':':{WIDTH}}{value}"


def _facts(runtime: _Runtime, number: int, cupy_version: str) -> Iterator[tuple[str, object]]:
    def attribute(code: int) -> int:
        return int(runtime.deviceGetAttribute(code, number))

    free, total = runtime.memGetInfo()
    yield "Device id", number
    for name, code in _BEFORE_NAME:
        yield name, attribute(code)
    yield "Name", runtime.getDeviceProperties(number)["name"].decode()
    yield "Total global memory", total
    for name, codes in _AFTER_MEMORY:
        yield name, ", ".join(str(attribute(axis)) for axis in codes)
    yield "Concurrent copy and execution", _yes(attribute(_COPY_ENGINES))
    yield "Number of multiprocessors", attribute(_MULTIPROCESSORS)
    yield "Kernel execution timeout", _yes(attribute(_TIMEOUT))
    yield "Free global memory", free
    yield "CUDA of the driver", cuda_version(runtime.driverGetVersion())
    yield "CUDA runtime", cuda_version(runtime.runtimeGetVersion())
    yield "CuPy", cupy_version
    yield "cuBLAS", _library_version("cublas")
    yield "cuDNN", _library_version("cudnn")


def cuda_version(number: int) -> str:
    """Return the version "13.2" for CUDA's number 13020."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _yes(value: int) -> str:
    return "Yes" if value else "No"


def _library_version(name: str) -> str:
    """Return a library's version, or the reason why it is not available."""
    try:
        library = libraries.load_library(name)
    except BackendUnavailable as error:
        return str(error)
    get = getattr(library, f"{name}GetProperty")
    parts = []
    for part in (_MAJOR, _MINOR, _PATCH):
        value = ctypes.c_int()
        get(part, ctypes.byref(value))
        parts.append(str(value.value))
    return ".".join(parts)
