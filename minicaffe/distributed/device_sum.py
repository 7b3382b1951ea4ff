"""Sums of arrays in device memory over all processes."""

from __future__ import annotations

from typing import Protocol


class DeviceSum(Protocol):
    """Adds up arrays of the GPUs of several processes without their main memory, as NCCL does."""

    def enqueue_sum(self, address: int, n: int, stream: int) -> None:
        """Overwrite float32 values on the GPU with their sum over all processes.

        Collective, in the same order on all processes. The GPU of the values must be the current
        one of the calling thread. Returns before the sum is there: the sum follows the work that is
        on the stream, and later work follows the sum.

        Parameters
        ----------
        address : int
            Device address of the first value.
        n : int
            Number of values.
        stream : int
            CUDA stream.
        """

    def raise_if_failed(self) -> None:
        """Raise CommunicationError if a sum failed since the last call."""
