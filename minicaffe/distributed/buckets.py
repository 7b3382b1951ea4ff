"""Buckets: groups of gradients that are summed by one call, in the order of the backward pass.

A large gradient is a bucket of its own and is summed where it lies. Small ones are packed into one
buffer, because a call costs time whatever its size. Measured with MPICH between two processes:
pieces of about 25 MB are summed in half the time of one call for 240 MB, which leaves the caches,
and pieces of 1 MB take five times as long.
"""

from __future__ import annotations

from collections.abc import Sequence

BUCKET_BYTES = 25 * 2**20
# Copying more into a buffer costs more time than a call for itself.
LARGE_BYTES = 4 * 2**20


def group_into_buckets(sizes_bytes: Sequence[int]) -> list[list[int]]:
    """Return the buckets of gradients of these sizes, as lists of indices.

    Parameters
    ----------
    sizes_bytes : sequence of int
        In the order in which the gradients are completed.

    Returns
    -------
    list of list of int
        Indices in ascending order. The buckets are in the order of their last index, in which they
        are completed.
    """
    buckets: list[list[int]] = []
    small: list[int] = []
    small_bytes = 0
    for index, size in enumerate(sizes_bytes):
        if size >= LARGE_BYTES:
            buckets.append([index])
            continue
        small.append(index)
        small_bytes += size
        if small_bytes >= BUCKET_BYTES:
            buckets.append(small)
            small, small_bytes = [], 0
    if small:
        buckets.append(small)
    return sorted(buckets, key=lambda bucket: bucket[-1])
