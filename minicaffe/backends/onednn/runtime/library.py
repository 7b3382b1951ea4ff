"""ctypes binding of oneDNN's C API (dnnl.h, version 3): functions, enumerations, loading.

The library is loaded from the wheel ``onednn-cpu-gomp``, or from the file that the environment
variable MINICAFFE_ONEDNN names. This module does not depend on tensors; see `primitive`.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import importlib.metadata
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char, c_float, c_int, c_int64, c_size_t, c_uint, c_void_p
from typing import Any

from minicaffe.backends.onednn.runtime.signal_stack import prepare_computing_thread
from minicaffe.errors import BackendUnavailable, Unsupported
from minicaffe.native.library import limit_spinning

WHEEL = "onednn-cpu-gomp"
VARIABLE = "MINICAFFE_ONEDNN"
ADVICE = f"pip install {WHEEL} (Linux on x86-64), or set {VARIABLE} to a libdnnl.so of version 3"

MAX_AXES = 12
Dims = c_int64 * MAX_AXES
_HANDLE = POINTER(c_void_p)


class ExecArg(ctypes.Structure):
    """One argument of an execution: its DNNL_ARG number and its memory (dnnl_exec_arg_t)."""

    _fields_ = [("arg", c_int), ("memory", c_void_p)]


class OneDnnStatus(enum.IntEnum):
    """dnnl_status_t."""

    SUCCESS = 0
    OUT_OF_MEMORY = 1
    INVALID_ARGUMENTS = 2
    UNIMPLEMENTED = 3
    LAST_IMPL_REACHED = 4
    RUNTIME_ERROR = 5
    NOT_REQUIRED = 6


class Prop(enum.IntEnum):
    """dnnl_prop_kind_t."""

    TRAINING = 64
    INFERENCE = 96
    BACKWARD = 128
    BACKWARD_DATA = 160


class Alg(enum.IntEnum):
    """dnnl_alg_kind_t, the values in use; USE_DST variants compute the gradient from y, not x."""

    NONE = 0
    CONVOLUTION_DIRECT = 1
    POOLING_MAX = 0x1FF
    POOLING_AVG_INCLUDE_PADDING = 0x2FF
    POOLING_AVG_EXCLUDE_PADDING = 0x3FF
    LRN_ACROSS = 0xAFF
    LRN_WITHIN = 0xBFF
    ELTWISE_RELU = 0x20
    ELTWISE_TANH = 0x21
    ELTWISE_ELU = 0x22
    ELTWISE_SQUARE = 0x23
    ELTWISE_ABS = 0x24
    ELTWISE_SQRT = 0x25
    ELTWISE_LINEAR = 0x26
    ELTWISE_SOFT_RELU = 0x27
    ELTWISE_HARD_SIGMOID = 0x28
    ELTWISE_LOGISTIC = 0x29
    ELTWISE_EXP = 0x2A
    ELTWISE_SWISH = 0x2C
    ELTWISE_LOG = 0x2D
    ELTWISE_CLIP = 0x2E
    ELTWISE_CLIP_V2 = 0x2F
    ELTWISE_MISH = 0x33
    ELTWISE_HARD_SWISH = 0x34
    ELTWISE_RELU_USE_DST = 0x100
    ELTWISE_TANH_USE_DST = 0x101
    ELTWISE_ELU_USE_DST = 0x102
    ELTWISE_LOGISTIC_USE_DST = 0x104
    ELTWISE_EXP_USE_DST = 0x105
    ELTWISE_CLIP_V2_USE_DST = 0x106
    BINARY_ADD = 0x1FFF0
    BINARY_MUL = 0x1FFF1
    BINARY_MAX = 0x1FFF2
    BINARY_DIV = 0x1FFF4
    RESAMPLING_NEAREST = 0x2FFF0
    SOFTMAX_ACCURATE = 0x30000


class Query(enum.IntEnum):
    """dnnl_query_t, the values in use: the memory descriptors of a primitive."""

    SRC = 129
    DIFF_SRC = 130
    WEIGHTS = 131
    DIFF_WEIGHTS = 132
    DST = 133
    DIFF_DST = 134
    WORKSPACE = 135
    SCRATCHPAD = 136
    # With an `Arg` as index.
    ARGUMENT = 255


class DataType(enum.IntEnum):
    """dnnl_data_type_t, the values in use."""

    BF16 = 2
    F32 = 3


class Arg(enum.IntEnum):
    """The DNNL_ARG_... numbers in use."""

    SRC = 1
    SRC_1 = 2
    DST = 17
    WEIGHTS = 33
    BIAS = 41
    MEAN = 49
    VARIANCE = 50
    SCALE = 51
    SHIFT = 52
    WORKSPACE = 64
    SCRATCHPAD = 80
    DIFF_SRC = 129
    DIFF_DST = 145
    DIFF_WEIGHTS = 161
    DIFF_BIAS = 169
    DIFF_SCALE = 255
    DIFF_SHIFT = 256
    MULTIPLE_SRC = 1024
    # The second operand of post-op i has the number POST_OP * (i + 1) + SRC_1.
    POST_OP = 32768


CPU = 1
IN_ORDER = 1
TAG_ANY = 1
# dnnl_format_tag_t, by the number of channels in a block: aBcd16b and aBcd8b, in which the channels
# of a pixel lie side by side; ABcd16b16a and ABcd8b8a, the filters for these.
TAGS_OF_IMAGES = {16: 78, 8: 102}
TAGS_OF_FILTERS = {16: 79, 8: 107}
# dnnl_query_data_type: the data type of a memory descriptor.
DATA_TYPE = 258
# The bit of dnnl_cpu_isa_t that AVX-512 processors with bfloat16 instructions have.
ISA_BF16 = 0x80
# dnnl_query_impl_info_str: the name of a primitive's implementation.
IMPLEMENTATION = 8
# dnnl_query_submemory_offset_s64: the offset of a submemory's first value.
SUBMEMORY_OFFSET = 259
USE_GLOBAL_STATS, USE_SCALE, USE_SHIFT, FUSE_RELU = 1, 2, 4, 8
SCRATCHPAD_USER = 1

# Arguments of dnnl_<name>_primitive_desc_create between the engine and the attributes:
# m memory descriptor, d dims, p pointer, i int or enum, u unsigned, f float, n int64,
# h hint (forward pd).
PRIMITIVES = {
    "convolution_forward": "iimmmmdddd",
    "convolution_backward_data": "immmddddh",
    "convolution_backward_weights": "immmmddddh",
    "eltwise_forward": "iimmff",
    "eltwise_backward": "immmffh",
    "softmax_forward": "iimmi",
    "softmax_backward": "immmih",
    "pooling_forward": "iimmddddd",
    "pooling_backward": "immdddddh",
    "prelu_forward": "immm",
    "prelu_backward": "mmmmmh",
    "lrn_forward": "iimmnfff",
    "lrn_backward": "immmnfffh",
    "batch_normalization_forward": "immfu",
    "batch_normalization_backward": "immmfuh",
    "inner_product_forward": "immmm",
    "inner_product_backward_data": "mmmh",
    "inner_product_backward_weights": "mmmmh",
    "binary": "immm",
    "resampling_forward": "iipmm",
}
_TYPES = {
    "m": c_void_p,
    "d": POINTER(c_int64),
    "i": c_int,
    "u": c_uint,
    "f": c_float,
    "n": c_int64,
    "h": c_void_p,
    "p": c_void_p,
}

# Any: ctypes classes have no common public base.
_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "dnnl_engine_create": (_HANDLE, c_int, c_size_t),
    "dnnl_stream_create": (_HANDLE, c_void_p, c_uint),
    "dnnl_memory_desc_create_with_strides": (_HANDLE, c_int, Dims, c_int, Dims),
    "dnnl_memory_desc_create_with_tag": (_HANDLE, c_int, Dims, c_int, c_int),
    "dnnl_memory_desc_create_submemory": (_HANDLE, c_void_p, Dims, Dims),
    "dnnl_memory_desc_clone": (_HANDLE, c_void_p),
    "dnnl_memory_desc_query": (c_void_p, c_int, c_void_p),
    "dnnl_memory_desc_destroy": (c_void_p,),
    "dnnl_memory_create": (_HANDLE, c_void_p, c_void_p, c_void_p),
    "dnnl_memory_set_data_handle": (c_void_p, c_void_p),
    "dnnl_memory_get_data_handle": (c_void_p, _HANDLE),
    "dnnl_memory_destroy": (c_void_p,),
    "dnnl_primitive_attr_create": (_HANDLE,),
    "dnnl_primitive_attr_destroy": (c_void_p,),
    "dnnl_primitive_attr_set_scratchpad_mode": (c_void_p, c_int),
    "dnnl_primitive_attr_set_post_ops": (c_void_p, c_void_p),
    "dnnl_post_ops_create": (_HANDLE,),
    "dnnl_post_ops_destroy": (c_void_p,),
    "dnnl_post_ops_append_binary": (c_void_p, c_int, c_void_p),
    "dnnl_post_ops_append_eltwise": (c_void_p, c_int, c_float, c_float),
    "dnnl_post_ops_append_sum": (c_void_p, c_float, c_int, c_int),
    "dnnl_primitive_create": (_HANDLE, c_void_p),
    "dnnl_primitive_destroy": (c_void_p,),
    "dnnl_primitive_desc_destroy": (c_void_p,),
    "dnnl_primitive_desc_query": (c_void_p, c_int, c_int, c_void_p),
    "dnnl_primitive_execute": (c_void_p, c_void_p, c_int, c_void_p),
    "dnnl_reorder_primitive_desc_create": (
        *(_HANDLE, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
    ),
    "dnnl_concat_primitive_desc_create": (
        *(_HANDLE, c_void_p, c_void_p, c_int, c_int, _HANDLE, c_void_p),
    ),
    "dnnl_sum_primitive_desc_create": (
        *(_HANDLE, c_void_p, c_void_p, c_int, POINTER(c_float), _HANDLE, c_void_p),
    ),
    "dnnl_sgemm": (
        *(c_char, c_char, c_int64, c_int64, c_int64, c_float, c_void_p, c_int64),
        *(c_void_p, c_int64, c_float, c_void_p, c_int64),
    ),
}


class OneDnnLibrary:
    """The loaded library with typed function prototypes, and its OpenMP runtime."""

    def __init__(self, path: str) -> None:
        self.path = path
        limit_spinning()
        try:
            self.omp = ctypes.CDLL("libgomp.so.1")
            # Too short a call to release the interpreter lock.
            self.set_threads = ctypes.PyDLL("libgomp.so.1").omp_set_num_threads
            self.c = ctypes.CDLL(path)
            version = self.c.dnnl_version
            self.sgemm_address = ctypes.cast(self.c.dnnl_sgemm, c_void_p).value
        except (OSError, AttributeError) as error:
            raise BackendUnavailable(f"oneDNN does not load ({error}). {ADVICE}") from None
        version.restype = POINTER(c_int)
        self.version = tuple(version()[:3])
        if self.version[0] != 3:
            found = ".".join(map(str, self.version))
            raise BackendUnavailable(f"{path} is oneDNN {found}; version 3 is needed. {ADVICE}")
        self._declare()

    def _declare(self) -> None:
        for name, types in _PROTOTYPES.items():
            getattr(self.c, name).argtypes = types
        for name, codes in PRIMITIVES.items():
            function = getattr(self.c, f"dnnl_{name}_primitive_desc_create")
            function.argtypes = (_HANDLE, c_void_p, *(_TYPES[c] for c in codes), c_void_p)
        self.c.dnnl_memory_desc_get_size.argtypes = (c_void_p,)
        self.c.dnnl_memory_desc_get_size.restype = c_size_t
        self.c.dnnl_get_effective_cpu_isa.restype = c_int
        self.c.dnnl_memory_desc_equal.argtypes = (c_void_p, c_void_p)
        self.c.dnnl_primitive_desc_query_md.argtypes = (c_void_p, c_int, c_int)
        self.c.dnnl_primitive_desc_query_md.restype = c_void_p

    def make(self, function: str, *args: Any) -> int:  # Any: ctypes arguments
        """Call a C function that returns a new object in its first argument; return the handle.

        Raises
        ------
        Unsupported
            If the library has no implementation for these arguments.
        BackendUnavailable
            If it failed in another way.
        """
        handle = c_void_p()
        check_onednn(getattr(self.c, function)(ctypes.byref(handle), *args), function)
        return int(handle.value or 0)

    @contextmanager
    def single_threaded(self) -> Iterator[None]:
        """Use the calling thread only, for calls within the block."""
        before = self.omp.omp_get_max_threads()
        self.set_threads(1)
        try:
            yield
        finally:
            self.set_threads(before)

    def prepare_thread(self, n_threads: int) -> None:
        """Prepare the current thread to compute: its number of OpenMP threads, and its signals."""
        prepare_computing_thread(self.omp, n_threads)
        self.set_threads(n_threads)


def check_onednn(status: int, what: str) -> None:
    """Raise an error that names `what`, unless `status` is success."""
    if status == OneDnnStatus.SUCCESS:
        return
    name = OneDnnStatus(status).name.lower().replace("_", " ")
    is_refused = status in (OneDnnStatus.UNIMPLEMENTED, OneDnnStatus.INVALID_ARGUMENTS)
    raise (Unsupported if is_refused else BackendUnavailable)(f"oneDNN: {what} returned: {name}")


def find_onednn() -> str:
    """Return the path of the library file.

    Raises
    ------
    BackendUnavailable
        If the environment variable is not set and the wheel is not installed.
    """
    path = os.environ.get(VARIABLE)
    if path:
        return path
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError:
        raise BackendUnavailable(f"the oneDNN library is not installed. {ADVICE}") from None
    for file in files:
        if file.name.startswith("libdnnl.so"):
            return str(file.locate())
    raise BackendUnavailable(f"{WHEEL} is installed but contains no libdnnl.so. {ADVICE}")


@functools.cache
def library() -> OneDnnLibrary:
    """Return the library; the first call loads it.

    Raises
    ------
    BackendUnavailable
        If it cannot be found or loaded; the message names the ways to install it.
    """
    return OneDnnLibrary(find_onednn())
