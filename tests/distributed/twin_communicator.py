"""A rank whose only partner has the same values, for backends that cannot run in two threads."""

from __future__ import annotations

import copy
import ctypes

import numpy as np

from minicaffe.distributed.communicator import Communicator


class TwinCommunicator(Communicator):
    """Rank 0 of two; rank 1 computes what rank 0 does.

    Attributes
    ----------
    reduced, exchanged : list of int
        The sizes of the float32 arrays that were summed, and of the arrays that were exchanged, by
        duplicates too. Signals and losses, on which processes agree, are float64.
    """

    size = local_size = 2

    def __init__(self):
        self.reduced, self.exchanged = [], []

    @property
    def library(self):
        return "twins"

    def allreduce(self, values):
        values *= 2
        if values.dtype == np.float32:
            self.reduced.append(values.size)

    def broadcast(self, values, root=0):
        pass

    def exchange(self, values, received, partner):
        received[...] = values
        self.exchanged.append(values.size)

    def allgather(self, value):
        return [value, value]

    def barrier(self):
        pass

    def duplicate(self):
        return copy.copy(self)

    def abort(self, exit_code):
        raise SystemExit(exit_code)


class TwinDeviceSum:
    """Sums of an emulated GPU with another that holds the same values.

    Attributes
    ----------
    enqueued : list
        The number of values and the stream of each sum.
    """

    def __init__(self, error=None):
        self.enqueued, self.error = [], error

    def enqueue_sum(self, address, n, stream):
        values = (ctypes.c_float * n).from_address(address)
        array = np.frombuffer(values, np.float32)
        array *= 2
        self.enqueued.append((n, stream))

    def raise_if_failed(self):
        if self.error is not None:
            raise self.error
