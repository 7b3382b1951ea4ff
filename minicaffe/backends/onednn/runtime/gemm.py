"""oneDNN's sgemm on plain matrices."""

from __future__ import annotations

from minicaffe.backends.onednn.runtime.library import check, library


def multiply(
    turn_a: bytes,
    turn_b: bytes,
    rows: int,
    columns: int,
    inner: int,
    a: int,
    b: int,
    old: float,
    out: int,
) -> None:
    """Compute ``out = op(a) op(b) + old * out`` on C-ordered matrices.

    Parameters
    ----------
    turn_a, turn_b : bytes
        b"T" where op turns the matrix, b"N" where it does not.
    rows, columns, inner : int
        op(a) is (rows, inner), op(b) (inner, columns).
    a, b, out : int
        Addresses.
    old : float
        0 overwrites `out`.
    """
    step_a = rows if turn_a == b"T" else inner
    step_b = inner if turn_b == b"T" else columns
    given = (turn_a, turn_b, rows, columns, inner, 1.0, a, step_a, b, step_b, old, out, columns)
    check(library().c.dnnl_sgemm(*given), "sgemm")
