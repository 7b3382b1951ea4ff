"""Matrix multiplication (sgemm) of C-ordered matrices by oneDNN."""

from __future__ import annotations

from contextlib import nullcontext

from minicaffe.backends.onednn.runtime.library import check_onednn
from minicaffe.backends.onednn.runtime.primitive import Engine


def sgemm(
    engine: Engine,
    transposes: tuple[bytes, bytes],
    sizes: tuple[int, int, int],
    matrices: tuple[int, int, int],
    beta: float = 0.0,
) -> None:
    """Compute ``out = op(a) op(b) + beta * out`` on C-ordered float32 matrices.

    Parameters
    ----------
    engine : Engine
        Its threads compute: one of them if the product is small.
    transposes : tuple of bytes
        For a and for b: b"T" if op transposes the matrix, b"N" otherwise.
    sizes : tuple of int
        M, N, K: op(a) is (M, K), op(b) (K, N), out (M, N).
    matrices : tuple of int
        Addresses of a, b and out.
    beta : float
        0 overwrites `out`, 1 accumulates into it.
    """
    (transpose_a, transpose_b), (m, n, k), (a, b, out) = transposes, sizes, matrices
    stride_a = m if transpose_a == b"T" else k
    stride_b = k if transpose_b == b"T" else n
    strided = (1.0, a, stride_a, b, stride_b, beta, out, n)
    lib, is_alone = engine.lib, engine.threads_for(m * n * k) == 1
    with lib.single_threaded() if is_alone else nullcontext():
        check_onednn(lib.c.dnnl_sgemm(transpose_a, transpose_b, m, n, k, *strided), "sgemm")
