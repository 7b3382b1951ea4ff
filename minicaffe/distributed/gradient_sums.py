"""Sums of gradients over all processes, in main memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from minicaffe.distributed.buckets import BUCKET_BYTES
from minicaffe.distributed.communicator import Communicator
from minicaffe.ops.backend import HostArray

# Part of a bucket that is summed by itself: the bucket's number and the first index.
Piece = tuple[int, int]


class GradientSum(ABC):
    """Overwrites the arrays of a bucket with their sums over all processes.

    Every process gets the same values, to the last bit.

    Parameters
    ----------
    communicator : Communicator
        Of the thread that sums.
    """

    def __init__(self, communicator: Communicator) -> None:
        self._communicator = communicator
        self._packed: dict[int, HostArray] = {}

    def __call__(self, bucket: int, arrays: Sequence[HostArray], factor: float) -> None:
        """Sum the arrays of a bucket, then multiply them by a factor.

        Parameters
        ----------
        bucket : int
            Number of the bucket, always of the same arrays' sizes.
        arrays : sequence of ndarray
            In C order, of one type; overwritten. A single array is summed in place.
        factor : float
            1 costs nothing.
        """
        if len(arrays) == 1:
            self._sum_in_place(bucket, arrays[0].reshape(-1), factor)
        else:
            self._sum_packed(bucket, arrays, factor)

    def _sum_in_place(self, bucket: int, values: HostArray, factor: float) -> None:
        n = BUCKET_BYTES // values.itemsize
        for start in range(0, values.size, n):
            piece = values[start : start + n]
            self._sum((bucket, start), piece)
            if factor != 1:
                piece *= factor

    def _sum_packed(self, bucket: int, arrays: Sequence[HostArray], factor: float) -> None:
        packed = self._packed.get(bucket)
        if packed is None:
            size = sum(array.size for array in arrays)
            packed = self._packed[bucket] = np.empty(size, arrays[0].dtype)
        np.concatenate([array.reshape(-1) for array in arrays], out=packed)
        self._sum((bucket, 0), packed)
        start = 0
        for array in arrays:
            part = packed[start : start + array.size].reshape(array.shape)
            if factor != 1:
                np.multiply(part, factor, out=array)
            else:
                np.copyto(array, part)
            start += array.size

    @abstractmethod
    def _sum(self, piece: Piece, values: HostArray) -> None:
        """Overwrite a vector with its sum over all processes."""


class AllreduceSum(GradientSum):
    """Sums in the order that the communicator's library chooses."""

    def _sum(self, piece: Piece, values: HostArray) -> None:
        self._communicator.allreduce(values)


class PairwiseSum(GradientSum):
    """Sums in pairs: (0 + 1) + (2 + 3), and so on; the number of processes is a power of two.

    If each process holds such a sum of as many parts, the result is that of all parts, whatever
    the number of processes. Method: recursive doubling (Thakur, Rabenseifner and Gropp,
    "Optimization of collective communication operations in MPICH", 2005). A sum of two numbers does
    not depend on their order, so both partners get the same bits.
    """

    def _sum(self, piece: Piece, values: HostArray) -> None:
        received = np.empty_like(values)
        distance = 1
        while distance < self._communicator.size:
            self._communicator.exchange(values, received, self._communicator.rank ^ distance)
            values += received
            distance *= 2
