"""Numbers to divide by, as kernels take them."""

from __future__ import annotations


def divisor(by: int) -> tuple[int, int, int]:
    """Return the arguments for a kernel's ``DIVISOR`` (kernels/common.cuh).

    Parameters
    ----------
    by : int
        What is divided by; 0, the size of an axis without values, counts as 1.

    Returns
    -------
    by, factor, shift : int
        n // by = (n + n * factor // 2**32) >> shift for 0 <= n < 2**31; the factor, 32 bits without
        a sign, as an int of C.
    """
    by = max(by, 1)
    shift = (by - 1).bit_length()
    factor = ((1 << 32) * ((1 << shift) - by)) // by + 1
    return by, factor - (1 << 32) if factor >= 1 << 31 else factor, shift
