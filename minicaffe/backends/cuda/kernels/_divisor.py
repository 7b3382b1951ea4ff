"""Magic numbers for division by an invariant integer (Granlund and Montgomery, 1994)."""

from __future__ import annotations


def divisor(by: int) -> tuple[int, int, int]:
    """Return the kernel arguments ``DIVISOR`` (kernels/_common.cuh).

    Parameters
    ----------
    by : int
        The divisor; 0, the size of an empty axis, counts as 1.

    Returns
    -------
    by, factor, shift : int
        n // by = (n + n * factor // 2**32) >> shift for 0 <= n < 2**31; the unsigned 32-bit factor
        is reinterpreted as a signed int.
    """
    by = max(by, 1)
    shift = (by - 1).bit_length()
    factor = ((1 << 32) * ((1 << shift) - by)) // by + 1
    return by, factor - (1 << 32) if factor >= 1 << 31 else factor, shift
