"""Ranks of a data-parallel training as threads of one process, for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from minicaffe.distributed.communicator import Communicator


class _Group:
    """What the ranks of a group share."""

    def __init__(self, size):
        self.size = size
        self.barrier = threading.Barrier(size)
        self.slots = [None] * size
        self.lock = threading.Lock()
        self.duplicates = {}


class ThreadCommunicator(Communicator):
    """A rank that is a thread; collective calls wait for all threads of the group."""

    def __init__(self, group, rank):
        self._group, self.rank, self.size = group, rank, group.size
        self.local_rank, self.local_size = rank, group.size
        self._n_duplicates = 0

    @property
    def library(self):
        return "threads"

    def _all(self, value):
        self._group.slots[self.rank] = value
        self._group.barrier.wait(60)
        values = list(self._group.slots)
        self._group.barrier.wait(60)
        return values

    def allreduce(self, values):
        arrays = self._all(values.copy())
        total = arrays[0].copy()
        for array in arrays[1:]:
            total += array
        values[...] = total

    def broadcast(self, values, root=0):
        values[...] = self._all(values.copy() if self.rank == root else None)[root]

    def exchange(self, values, received, partner):
        received[...] = self._all(values.copy())[partner]

    def allgather(self, value):
        return self._all(value)

    def barrier(self):
        self._group.barrier.wait(60)

    def duplicate(self):
        group, key = self._group, self._n_duplicates
        self._n_duplicates += 1
        with group.lock:
            twin = group.duplicates.setdefault(key, _Group(self.size))
        return ThreadCommunicator(twin, self.rank)

    def abort(self, exit_code):
        self._group.barrier.abort()
        raise SystemExit(exit_code)


def run_ranks(size: int, work: Callable[[Communicator], object]) -> list[object]:
    """Run `work` in a thread for each rank, and return the results by rank.

    An error of one rank breaks the others' waiting; the error is raised here.
    """
    group = _Group(size)

    def one(rank):
        try:
            return work(ThreadCommunicator(group, rank))
        except BaseException:
            group.barrier.abort()
            for twin in group.duplicates.values():
                twin.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(one, rank) for rank in range(size)]
        errors = [future.exception() for future in futures]
    found = [error for error in errors if error is not None]
    for error in found:
        if not isinstance(error, threading.BrokenBarrierError):
            raise error
    for error in found:
        raise error
    return [future.result() for future in futures]


def assert_same_on_all_ranks(values) -> None:
    """Compare arrays of all ranks to the last bit."""
    for other in values[1:]:
        np.testing.assert_array_equal(values[0], other)
