"""Matrix multiplication (sgemm) of C-ordered matrices by oneDNN."""

from __future__ import annotations

from minicaffe.backends.onednn.runtime.library import check_onednn, library


def sgemm(
    transposes: tuple[bytes, bytes],
    sizes: tuple[int, int, int],
    a: int,
    b: int,
    out: int,
    beta: float = 0.0,
) -> None:
    """Compute ``out = op(a) op(b) + beta * out`` on C-ordered float32 matrices.

    Parameters
    ----------
    transposes : tuple of bytes
        For a and for b: b"T" if op transposes the matrix, b"N" otherwise.
    sizes : tuple of int
        M, N, K: op(a) is (M, K), op(b) (K, N), out (M, N).
    a, b, out : int
        Addresses of the matrices.
    beta : float
        0 overwrites `out`, 1 accumulates into it.
    """
    (transpose_a, transpose_b), (m, n, k) = transposes, sizes
    stride_a = m if transpose_a == b"T" else k
    stride_b = k if transpose_b == b"T" else n
    strided = (1.0, a, stride_a, b, stride_b, beta, out, n)
    check_onednn(library().c.dnnl_sgemm(transpose_a, transpose_b, m, n, k, *strided), "sgemm")
