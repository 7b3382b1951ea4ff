"""Matrix products on the GPU: cuBLAS through ctypes, with row-major matrices.

cuBLAS matrices are column-major: its m x n matrix has the memory layout of our n x m one. So
C = A B is computed as C' = B' A', without any transposition in memory.

CuPy's cuBLAS functions are not used, because they refuse to run during graph capture. A `Blas` has
a handle and a workspace of its own, because otherwise cuBLAS would allocate memory during capture.
"""

from __future__ import annotations

import ctypes
import enum
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_float, c_int, c_longlong, c_size_t, c_void_p
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

from minicaffe.backends.cuda.driver import libraries
from minicaffe.errors import BackendUnavailable, ShapeError, Unsupported

Math: TypeAlias = Literal["fp32", "tf32"]

# NVIDIA's recommendation for Hopper; earlier GPUs need less.
WORKSPACE_BYTES = 32 << 20

_GEMM = (c_void_p, c_int, c_int, c_int, c_int, c_int)
_MATRIX = (c_void_p, c_int, c_int)
PROTOTYPES: dict[str, tuple[type, ...]] = {
    "cublasCreate_v2": (POINTER(c_void_p),),
    "cublasDestroy_v2": (c_void_p,),
    "cublasSetStream_v2": (c_void_p, c_void_p),
    "cublasSetWorkspace_v2": (c_void_p, c_void_p, c_size_t),
    "cublasSetMathMode": (c_void_p, c_int),
    "cublasSetPointerMode_v2": (c_void_p, c_int),
    "cublasGemmEx": (
        *(*_GEMM, POINTER(c_float), *_MATRIX, *_MATRIX),
        *(POINTER(c_float), *_MATRIX, c_int, c_int),
    ),
    "cublasGemmStridedBatchedEx": (
        *(*_GEMM, POINTER(c_float), *_MATRIX, c_longlong, *_MATRIX, c_longlong),
        *(POINTER(c_float), *_MATRIX, c_longlong, c_int, c_int, c_int),
    ),
}


class CublasStatus(enum.IntEnum):
    """cublasStatus_t."""

    SUCCESS = 0
    NOT_INITIALIZED = 1
    ALLOC_FAILED = 3
    INVALID_VALUE = 7
    ARCH_MISMATCH = 8
    MAPPING_ERROR = 11
    EXECUTION_FAILED = 13
    INTERNAL_ERROR = 14
    NOT_SUPPORTED = 15
    LICENSE_ERROR = 16


# cudaDataType_t, cublasComputeType_t, cublasOperation_t, cublasGemmAlgo_t.
TYPES = {"float32": 0, "float16": 2, "bfloat16": 14}
COMPUTE: dict[Math, int] = {"fp32": 68, "tf32": 77}
PLAIN, TRANSPOSED = 0, 1
# cublasPointerMode_t: whether alpha and beta are in host or device memory.
ON_HOST, ON_DEVICE = 0, 1
DEFAULT_ALGORITHM = -1
# cublasMath_t: partial sums must not be rounded to 16 bits when the product has 16 bits.
FLOAT_SUMS = 16
_LARGEST = 2**31 - 1
# A scalar in host memory, or a pointer to one in device memory.
_Scalar: TypeAlias = "c_float | ctypes._Pointer[c_float]"


@dataclass(frozen=True)
class Matrix:
    """A row-major matrix, or a batch of equal ones, in device memory.

    Parameters
    ----------
    address : int
        Of the first value.
    rows, columns : int
        Of the operand, that is, after transposition.
    dtype : str
        One of `TYPES`.
    is_transposed : bool
        Whether memory holds the matrix in column-major order instead.
    row_stride : int, optional
        Number of values from one row (or column, if transposed) to the next. Default: contiguous.
    step : int
        Number of values from one matrix of a batch to the next; 0 repeats the same matrix.
    """

    address: int
    rows: int
    columns: int
    dtype: str = "float32"
    is_transposed: bool = False
    row_stride: int | None = None
    step: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in TYPES:
            raise Unsupported(f"cuBLAS: {self.dtype} is none of {', '.join(TYPES)}")
        if max(self.rows, self.columns, self.leading) > _LARGEST:
            raise Unsupported(f"cuBLAS: a matrix of {self} has an axis beyond {_LARGEST}")
        if self.leading < self._row_length:
            raise ShapeError(
                f"cuBLAS: rows of {self._row_length} values have a stride of {self.leading} "
                "values; they must not overlap"
            )

    @property
    def _row_length(self) -> int:
        return self.rows if self.is_transposed else self.columns

    @property
    def leading(self) -> int:
        """The row stride, which BLAS calls the leading dimension."""
        return self.row_stride if self.row_stride is not None else max(1, self._row_length)

    @property
    def transpose(self) -> Matrix:
        """The transposed matrix, over the same memory."""
        return replace(
            self,
            rows=self.columns,
            columns=self.rows,
            is_transposed=not self.is_transposed,
            row_stride=self.leading,
        )

    def __str__(self) -> str:
        return f"{self.rows} x {self.columns} {self.dtype}"


def load_cublas() -> ctypes.CDLL:
    """Load cuBLAS.

    Raises
    ------
    BackendUnavailable
        If it is not installed or does not load.
    """
    return libraries.load_library("cublas")


def check_cublas(status: int, what: str) -> None:
    """Raise BackendUnavailable unless `status` is SUCCESS."""
    if status == CublasStatus.SUCCESS:
        return
    known = {s.value: s.name.lower().replace("_", " ") for s in CublasStatus}
    raise BackendUnavailable(f"cuBLAS: {what} returns: {known.get(status, f'status {status}')}")


class DeviceScalars(NamedTuple):
    """Addresses of alpha and beta, two floats in device memory."""

    alpha: int
    beta: int


class Blas:
    """A cuBLAS handle on one stream.

    Parameters
    ----------
    library : object
        What `load_cublas` returns, or an object with functions of the same names and arguments.
    stream : int
        The CUDA stream of all products.
    workspace : int
        Address of `workspace_bytes` bytes of device memory, aligned to 256 as cuBLAS requires.
        They must outlive this object and must not be used by other code.
    workspace_bytes : int
        Default: NVIDIA's recommendation.
    """

    def __init__(
        self, library: Any, stream: int, workspace: int, workspace_bytes: int = WORKSPACE_BYTES
    ) -> None:
        self._library = library
        for name, types in PROTOTYPES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = types, c_int
        self._handle = c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        # Not at exit: the driver may be unloaded before this object, and frees everything itself.
        weakref.finalize(self, library.cublasDestroy_v2, self._handle).atexit = False
        # In this order, because setting the stream resets the workspace to the default one.
        self._call("cublasSetStream_v2", self._handle, stream)
        self._call("cublasSetWorkspace_v2", self._handle, workspace, workspace_bytes)
        self._call("cublasSetMathMode", self._handle, FLOAT_SUMS)

    def gemm(
        self,
        a: Matrix,
        b: Matrix,
        c: Matrix,
        scalars: tuple[float, float] | DeviceScalars = (1.0, 0.0),
        math: Math = "tf32",
        count: int = 1,
    ) -> None:
        """Compute c = alpha a b + beta c with float32 sums.

        Parameters
        ----------
        a, b, c : Matrix
            m x k, k x n and m x n; a and b of one dtype, c of the same or float32. c is
            overwritten, and read only if beta is not 0.
        scalars : tuple of float, or DeviceScalars
            alpha and beta. Numbers are read now, so that a captured product keeps them; scalars in
            device memory are read when the product runs.
        math : {"fp32", "tf32"}
            Whether float32 factors may be rounded to 10 bits of mantissa for the tensor cores.
        count : int
            Number of products; matrix i of each operand begins i steps after the first.

        Raises
        ------
        ShapeError
            If the shapes do not match.
        BackendUnavailable
            If cuBLAS fails.
        """
        _check_shapes(a, b, c)
        if c.is_transposed:
            a, b, c = b.transpose, a.transpose, c.transpose
        name = "cublasGemmEx" if count == 1 else "cublasGemmStridedBatchedEx"
        with self._scalars(scalars) as (alpha, beta):
            self._call(
                name,
                self._handle,
                *(_operation(b), _operation(a), c.columns, c.rows, a.columns),
                *(alpha, *_operand(b, count), *_operand(a, count)),
                *(beta, *_operand(c, count), *((count,) if count != 1 else ())),
                *(COMPUTE[math if a.dtype == "float32" else "fp32"], DEFAULT_ALGORITHM),
            )

    @contextmanager
    def _scalars(
        self, scalars: tuple[float, float] | DeviceScalars
    ) -> Iterator[tuple[_Scalar, _Scalar]]:
        """Yield alpha and beta as cuBLAS takes them, in its pointer mode for their memory."""
        if not isinstance(scalars, DeviceScalars):
            yield c_float(scalars[0]), c_float(scalars[1])
            return
        self._call("cublasSetPointerMode_v2", self._handle, ON_DEVICE)
        try:
            yield _pointer(scalars.alpha), _pointer(scalars.beta)
        finally:
            self._call("cublasSetPointerMode_v2", self._handle, ON_HOST)

    def _call(self, name: str, *args: object) -> None:
        check_cublas(getattr(self._library, name)(*args), name)


def _pointer(address: int) -> _Scalar:
    return ctypes.cast(c_void_p(int(address)), POINTER(c_float))


def _operation(matrix: Matrix) -> int:
    return TRANSPOSED if matrix.is_transposed else PLAIN


def _operand(matrix: Matrix, count: int) -> tuple[int, ...]:
    one = (matrix.address, TYPES[matrix.dtype], matrix.leading)
    return one if count == 1 else (*one, matrix.step)


def _check_shapes(a: Matrix, b: Matrix, c: Matrix) -> None:
    if (a.columns, a.rows, b.columns) != (b.rows, c.rows, c.columns):
        raise ShapeError(f"cuBLAS: {a} times {b} does not make {c}")
    if a.dtype != b.dtype or c.dtype not in (a.dtype, "float32"):
        raise ShapeError(
            f"cuBLAS: {a} times {b} does not make {c}; both factors must have one dtype, and the "
            "product that or float32"
        )
