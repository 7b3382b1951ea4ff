"""Row-major products through a column-major library."""

from __future__ import annotations

import ctypes
import functools
import gc
import itertools

import numpy as np
import pytest

from minicaffe.backends.cuda.driver import cublas
from minicaffe.backends.cuda.driver.cublas import FLOAT_SUMS, Blas, DeviceScalars, Matrix
from minicaffe.errors import BackendUnavailable, ShapeError, Unsupported

NUMPY = {0: np.float32, 2: np.float16}


class ColumnMajorLibrary:
    """Implements cuBLAS's documentation on host memory: every matrix is column-major."""

    def __init__(self):
        self.calls = []
        self.status = 0
        for name in cublas.PROTOTYPES:
            # Functions of a ctypes library take attributes, those of a class do not.
            setattr(self, name, functools.partial(getattr(type(self), name), self))

    def cublasCreate_v2(self, handle):
        handle._obj.value = 77
        return self._note("create")

    def cublasDestroy_v2(self, handle):
        return self._note("destroy", handle.value)

    def cublasSetStream_v2(self, handle, stream):
        return self._note("stream", handle.value, stream)

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        return self._note("workspace", handle.value, workspace, size)

    def cublasSetMathMode(self, handle, mode):
        return self._note("math", handle.value, mode)

    def cublasSetPointerMode_v2(self, handle, mode):
        return self._note("scalars on device" if mode else "scalars on host", handle.value)

    def cublasGemmEx(self, handle, op_a, op_b, m, n, k, alpha, *rest):
        a, b, beta, c, (compute, algorithm) = rest[:3], rest[3:6], rest[6], rest[7:10], rest[10:]
        self._gemm((op_a, op_b), (m, n, k), (alpha, beta), (a, b, c))
        return self._note("gemm", compute, algorithm)

    def cublasGemmStridedBatchedEx(self, handle, op_a, op_b, m, n, k, alpha, *rest):
        a, b, beta, c = rest[:4], rest[4:8], rest[8], rest[9:13]
        count, compute, algorithm = rest[13:]
        for i in range(count):
            matrices = [self._moved(matrix, i) for matrix in (a, b, c)]
            self._gemm((op_a, op_b), (m, n, k), (alpha, beta), matrices)
        return self._note("batched", compute, algorithm)

    def _note(self, *call):
        self.calls.append(call)
        return self.status

    @staticmethod
    def _moved(matrix, i):
        address, dtype, leading, step = matrix
        return address + i * step * np.dtype(NUMPY[dtype]).itemsize, dtype, leading

    @staticmethod
    def _view(matrix, rows, columns):
        address, dtype, leading = matrix
        assert leading >= max(1, rows)
        size = np.dtype(NUMPY[dtype]).itemsize
        memory = (ctypes.c_char * (leading * columns * size)).from_address(address)
        return np.frombuffer(memory, NUMPY[dtype]).reshape(columns, leading).T[:rows]

    def _gemm(self, ops, sizes, factors, matrices):
        m, n, k = sizes
        a = self._view(matrices[0], *((k, m) if ops[0] else (m, k)))
        b = self._view(matrices[1], *((n, k) if ops[1] else (k, n)))
        c = self._view(matrices[2], m, n)
        alpha, beta = (getattr(factor, "contents", factor).value for factor in factors)
        product = alpha * ((a.T if ops[0] else a) @ (b.T if ops[1] else b))
        # As BLAS has it: c is not even read where beta is 0.
        c[...] = product if beta == 0 else product + beta * c


@pytest.fixture
def library():
    return ColumnMajorLibrary()


@pytest.fixture
def blas(library):
    return Blas(library, stream=5, workspace=4096)


def stored(values, is_transposed, gap):
    """Memory that holds `values`, rows `gap` values longer than needed, and its `Matrix`."""
    stored_values = values.T if is_transposed else values
    memory = np.full((stored_values.shape[0] + 1, stored_values.shape[1] + gap), 99, values.dtype)
    memory[:-1, : stored_values.shape[1]] = stored_values
    rows, columns = values.shape
    return memory, Matrix(
        memory.ctypes.data, rows, columns, str(values.dtype), is_transposed, memory.shape[1]
    )


def held(memory, shape, is_transposed):
    stored_values = memory[: shape[1] if is_transposed else shape[0]]
    stored_values = stored_values[:, : shape[0] if is_transposed else shape[1]]
    return stored_values.T if is_transposed else stored_values


@pytest.mark.parametrize("transposed", list(itertools.product((False, True), repeat=3)))
@pytest.mark.parametrize("beta", [0.0, 1.0, -0.5])
def test_every_transposition_and_row_stride(blas, transposed, beta):
    rng = np.random.default_rng(1)
    a, b, c = (rng.normal(size=s).astype(np.float32) for s in ((3, 5), (5, 7), (3, 7)))
    if beta == 0:
        c[:] = np.nan
    (ma, a_), (mb, b_), (mc, c_) = (
        stored(v, t, gap) for v, t, gap in zip((a, b, c), transposed, (2, 0, 1), strict=True)
    )
    blas.gemm(a_, b_, c_, (2.0, beta))
    expected = 2 * a @ b + (beta * c if beta else 0)
    np.testing.assert_allclose(held(mc, (3, 7), transposed[2]), expected, rtol=1e-5)
    assert (mc[-1] == 99).all()
    assert ma[-1, 0] == mb[-1, 0] == 99


def test_factors_may_lie_in_device_memory(blas, library):
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((3, 4), np.float32)
    c, numbers = np.ones((2, 4), np.float32), np.array([0.5, 2], np.float32)
    matrices = (Matrix(v.ctypes.data, *v.shape) for v in (a, b, c))
    library.calls.clear()
    blas.gemm(*matrices, DeviceScalars(numbers.ctypes.data, numbers.ctypes.data + 4))
    np.testing.assert_array_equal(c, 0.5 * (a @ b) + 2)
    assert [call[0] for call in library.calls] == ["scalars on device", "gemm", "scalars on host"]


def test_rows_lie_without_gaps_unless_said(blas):
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((4, 3), np.float32)
    c = np.empty((2, 4), np.float32)
    blas.gemm(
        Matrix(a.ctypes.data, 2, 3),
        Matrix(b.ctypes.data, 3, 4, is_transposed=True),
        Matrix(c.ctypes.data, 2, 4),
    )
    np.testing.assert_array_equal(c, a @ b.T)


def test_several_products_at_once(blas, library):
    rng = np.random.default_rng(2)
    a, b = (rng.normal(size=s).astype(np.float32) for s in ((3, 2, 5), (5, 4)))
    c = np.ones((3, 2, 4), np.float32)
    blas.gemm(
        Matrix(a.ctypes.data, 2, 5, step=10),
        Matrix(b.ctypes.data, 5, 4),
        Matrix(c.ctypes.data, 2, 4, step=8),
        (1.0, 1.0),
        count=3,
    )
    np.testing.assert_allclose(c, a @ b + 1, rtol=1e-5)
    assert library.calls[-1][0] == "batched"


def test_halves_may_make_floats(blas, library):
    a, b = np.full((2, 3), 0.5, np.float16), np.full((3, 2), 4.0, np.float16)
    c = np.zeros((2, 2), np.float32)
    blas.gemm(
        Matrix(a.ctypes.data, 2, 3, "float16"),
        Matrix(b.ctypes.data, 3, 2, "float16"),
        Matrix(c.ctypes.data, 2, 2),
    )
    np.testing.assert_array_equal(c, 6.0)
    assert library.calls[-1] == ("gemm", 68, -1)


@pytest.mark.parametrize(("math", "compute"), [("fp32", 68), ("tf32", 77)])
def test_precision_of_float32_products(blas, library, math, compute):
    one = np.ones((1, 1), np.float32)
    matrix = Matrix(one.ctypes.data, 1, 1)
    blas.gemm(matrix, matrix, matrix, math=math)
    assert library.calls[-1] == ("gemm", compute, -1)


def test_workspace_is_set_after_the_stream_which_would_reset_it(blas, library):
    begun = [("create",), ("stream", 77, 5), ("workspace", 77, 4096, 32 << 20)]
    assert library.calls == [*begun, ("math", 77, FLOAT_SUMS)]
    del blas


def test_the_handle_is_destroyed(library):
    blas = Blas(library, stream=0, workspace=0)
    del blas
    gc.collect()
    assert library.calls[-1] == ("destroy", 77)


def test_shapes_must_fit(blas):
    a, b = Matrix(0, 2, 3), Matrix(0, 4, 5)
    with pytest.raises(ShapeError, match="2 x 3 float32 times 4 x 5 float32 does not make 2 x 5"):
        blas.gemm(a, b, Matrix(0, 2, 5))
    half = Matrix(0, 3, 5, "float16")
    with pytest.raises(ShapeError, match="both factors must have one dtype"):
        blas.gemm(a, half, Matrix(0, 2, 5))


def test_what_no_matrix_can_be():
    with pytest.raises(Unsupported, match="float64 is none of float32, float16, bfloat16"):
        Matrix(0, 1, 1, "float64")
    with pytest.raises(Unsupported, match="an axis beyond 2147483647"):
        Matrix(0, 2**31, 1)
    with pytest.raises(ShapeError, match="rows of 5 values have a stride of 4 values"):
        Matrix(0, 2, 5, row_stride=4)


@pytest.mark.parametrize(
    ("status", "text"), [(13, "execution failed"), (14, "internal error"), (99, "status 99")]
)
def test_failures_are_named(library, blas, status, text):
    library.status = status
    one = np.ones((1, 1), np.float32)
    matrix = Matrix(one.ctypes.data, 1, 1)
    with pytest.raises(BackendUnavailable, match=f"cublasGemmEx returns: {text}"):
        blas.gemm(matrix, matrix, matrix)


def test_every_function_called_is_declared():
    called = {name for name in dir(ColumnMajorLibrary) if name.startswith("cublas")}
    assert called == set(cublas.PROTOTYPES)


def test_the_real_library_takes_the_declarations():
    try:
        library = cublas.load_cublas()
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    try:
        Blas(library, stream=0, workspace=0)
    except BackendUnavailable as reason:  # without a card
        assert "cublasCreate_v2 returns: not initialized" in str(reason)  # noqa: PT017
    for name, types in cublas.PROTOTYPES.items():
        assert tuple(getattr(library, name).argtypes) == types
