"""Matrix products on the GPU: cuBLAS through ctypes, with row-major matrices.

cuBLAS thinks in columns: what it calls an m x n matrix lies in memory like our n x m one. So
C = A B is asked for as C' = B' A', and nothing is moved.

CuPy's own cuBLAS calls are not used because they refuse to run while a CUDA graph is recorded. A
`Blas` therefore has a handle of its own, and workspace of its own: without that, cuBLAS would
allocate memory in the middle of a recording.
"""

from __future__ import annotations

import ctypes
import enum
import weakref
from ctypes import POINTER, c_float, c_int, c_longlong, c_size_t, c_void_p
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from minicaffe.backends.cuda.driver import libraries
from minicaffe.errors import BackendUnavailable, ShapeError, Unsupported

Math: TypeAlias = Literal["fp32", "tf32"]

# What NVIDIA recommends for Hopper; earlier cards want less.
WORKSPACE_BYTES = 32 << 20

_GEMM = (c_void_p, c_int, c_int, c_int, c_int, c_int)
_MATRIX = (c_void_p, c_int, c_int)
PROTOTYPES: dict[str, tuple[Any, ...]] = {
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
# cublasPointerMode_t: where alpha and beta lie.
ON_HOST, ON_DEVICE = 0, 1
DEFAULT_ALGORITHM = -1
# cublasMath_t: sums of parts of a product may not be kept in 16 bits because the product is.
FLOAT_SUMS = 16
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Matrix:
    """A matrix, or several equal ones, in device memory, row by row.

    Parameters
    ----------
    address : int
        Of the first value.
    rows, columns : int
        Of the matrix meant, that is, after transposition.
    dtype : str
        One of `TYPES`.
    is_transposed : bool
        Whether memory holds the matrix column by column instead.
    row_stride : int, optional
        Values from the beginning of one row (or column, if transposed) to that of the next.
        Default: they lie without gaps.
    step : int
        Values from the beginning of one matrix to that of the next; 0 is the same one again.
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
                f"cuBLAS: rows of {self._row_length} values lie {self.leading} values apart; they "
                "must not overlap"
            )

    @property
    def _row_length(self) -> int:
        return self.rows if self.is_transposed else self.columns

    @property
    def leading(self) -> int:
        """The row stride as a number; BLAS calls it the leading dimension."""
        return self.row_stride if self.row_stride is not None else max(1, self._row_length)

    @property
    def transpose(self) -> Matrix:
        """The transposed matrix, in the same memory."""
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
    """Raise unless `status` says success."""
    if status == CublasStatus.SUCCESS:
        return
    known = {s.value: s.name.lower().replace("_", " ") for s in CublasStatus}
    raise BackendUnavailable(f"cuBLAS: {what} answers: {known.get(status, f'status {status}')}")


class Blas:
    """cuBLAS on one stream.

    Parameters
    ----------
    library : object
        What `load` returns, or an object with functions of the same names and arguments.
    stream : int
        The CUDA stream that all products run on.
    workspace : int
        Address of `workspace_bytes` bytes of device memory, aligned to 256 as cuBLAS wants. They
        must outlive this object and must not be used by anybody else.
    workspace_bytes : int
        `WORKSPACE_BYTES` is what NVIDIA recommends.
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
        # At exit the driver may be gone before this object is; it frees everything itself.
        weakref.finalize(self, library.cublasDestroy_v2, self._handle).atexit = False
        # In this order: setting the stream brings the default workspace back.
        self._call("cublasSetStream_v2", self._handle, stream)
        self._call("cublasSetWorkspace_v2", self._handle, workspace, workspace_bytes)
        self._call("cublasSetMathMode", self._handle, FLOAT_SUMS)

    def gemm(
        self,
        a: Matrix,
        b: Matrix,
        c: Matrix,
        *,
        alpha: float = 1.0,
        beta: float = 0.0,
        math: Math = "tf32",
        count: int = 1,
    ) -> None:
        """Compute c = alpha a b + beta c, sums in float32.

        Parameters
        ----------
        a, b, c : Matrix
            m x k, k x n and m x n; a and b of one dtype, c of the same or float32. c is
            overwritten, and read only if beta is not 0.
        alpha, beta : float
            Read now: a recorded product keeps them.
        math : {"fp32", "tf32"}
            Whether float32 factors may be rounded to 10 bits of mantissa for the tensor cores.
        count : int
            Number of products; matrix i of each lies i steps behind the first.

        Raises
        ------
        ShapeError
            If the shapes do not fit.
        BackendUnavailable
            If cuBLAS fails.
        """
        self._gemm(c_float(alpha), c_float(beta), a, b, c, math, count)

    def gemm_device_scalars(
        self,
        alpha: int,
        beta: int,
        a: Matrix,
        b: Matrix,
        c: Matrix,
        *,
        math: Math = "tf32",
        count: int = 1,
    ) -> None:
        """Do the same as `gemm`, by factors that lie in device memory and are read there.

        Parameters
        ----------
        alpha, beta : int
            Addresses of floats.
        a, b, c, math, count
            As for `gemm`.
        """
        self._call("cublasSetPointerMode_v2", self._handle, ON_DEVICE)
        try:
            self._gemm(_pointer(alpha), _pointer(beta), a, b, c, math, count)
        finally:
            self._call("cublasSetPointerMode_v2", self._handle, ON_HOST)

    def _gemm(
        self, alpha: Any, beta: Any, a: Matrix, b: Matrix, c: Matrix, math: Math, count: int
    ) -> None:
        _check_fit(a, b, c)
        if c.is_transposed:
            a, b, c = b.transpose, a.transpose, c.transpose
        name = "cublasGemmEx" if count == 1 else "cublasGemmStridedBatchedEx"
        self._call(
            name,
            self._handle,
            *(_operation(b), _operation(a), c.columns, c.rows, a.columns),
            *(alpha, *_operand(b, count), *_operand(a, count)),
            *(beta, *_operand(c, count), *((count,) if count != 1 else ())),
            *(COMPUTE[math if a.dtype == "float32" else "fp32"], DEFAULT_ALGORITHM),
        )

    def _call(self, name: str, *args: Any) -> None:
        check_cublas(getattr(self._library, name)(*args), name)


def _pointer(address: int) -> Any:
    return ctypes.cast(c_void_p(int(address)), POINTER(c_float))


def _operation(matrix: Matrix) -> int:
    return TRANSPOSED if matrix.is_transposed else PLAIN


def _operand(matrix: Matrix, count: int) -> tuple[int, ...]:
    one = (matrix.address, TYPES[matrix.dtype], matrix.leading)
    return one if count == 1 else (*one, matrix.step)


def _check_fit(a: Matrix, b: Matrix, c: Matrix) -> None:
    if (a.columns, a.rows, b.columns) != (b.rows, c.rows, c.columns):
        raise ShapeError(f"cuBLAS: {a} times {b} does not make {c}")
    if a.dtype != b.dtype or c.dtype not in (a.dtype, "float32"):
        raise ShapeError(
            f"cuBLAS: {a} times {b} does not make {c}; both factors must have one dtype, and the "
            "product that or float32"
        )
