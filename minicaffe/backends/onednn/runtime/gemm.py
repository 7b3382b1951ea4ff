"""Matrix multiplication (sgemm) of C-ordered matrices by oneDNN."""

from __future__ import annotations

import ctypes
from contextlib import nullcontext

import numpy as np

from minicaffe.backends.onednn.runtime.library import check_onednn
from minicaffe.backends.onednn.runtime.native import ThreadedFunction
from minicaffe.backends.onednn.runtime.primitive import Engine
from minicaffe.native.library import NativeLibrary

# Rows or columns of the output in a part: fewer read the other matrix too often.
FEWEST_IN_PART = 32


class Sgemm:
    """``out = op(a) op(b) + beta * out`` on C-ordered float32 matrices.

    Short products are computed in as many parts of the output as there are threads, so that fewer
    threads give the same bits: oneDNN itself divides sums, or chooses other blocks, for some
    numbers of threads.

    Parameters
    ----------
    engine : Engine
        Its threads compute: one of them if the product is small.
    native : NativeLibrary or None
        The C kernels. Without them oneDNN divides all products among its threads.
    transposes : tuple of bytes
        For a and for b: b"T" if op transposes the matrix, b"N" otherwise.
    sizes : tuple of int
        M, N, K: op(a) is (M, K), op(b) (K, N), out (M, N).
    """

    def __init__(
        self,
        engine: Engine,
        native: NativeLibrary | None,
        transposes: tuple[bytes, bytes],
        sizes: tuple[int, int, int],
    ) -> None:
        self._lib = engine.lib
        m, n, k = sizes
        strides = (m if transposes[0] == b"T" else k, k if transposes[1] == b"T" else n)
        self._whole = (*transposes, *sizes), strides, n
        self._is_alone = engine.threads.for_work(m * n * k) == 1
        self._in_parts: ThreadedFunction | None = None
        if native is None:
            return
        function = ThreadedFunction(engine, native.lookup("multiply_in_parts"), m * n * k)
        if function.is_short:
            self._in_parts = function
        parts = max(1, min(function.threads, max(m, n) // FEWEST_IN_PART))
        flags = [transpose == b"T" for transpose in transposes]
        self._product = np.array([*flags, *sizes, parts], np.int64)
        self._status = ctypes.c_int()
        self._given = self._lib.sgemm_address, self._product.ctypes.data
        self._status_at = ctypes.addressof(self._status)

    def __call__(self, a: int, b: int, out: int, beta: float = 0.0) -> None:
        """Compute.

        Parameters
        ----------
        a, b, out : int
            Addresses.
        beta : float
            0 overwrites `out`, 1 accumulates into it.
        """
        if self._in_parts is not None:
            self._in_parts(*self._given, a, b, beta, out, self._status_at)
            status = self._status.value
        else:
            sizes, (stride_a, stride_b), n = self._whole
            with self._lib.single_threaded() if self._is_alone else nullcontext():
                operands = (a, stride_a, b, stride_b, beta, out, n)
                status = self._lib.c.dnnl_sgemm(*sizes, 1.0, *operands)
        check_onednn(status, "sgemm")
