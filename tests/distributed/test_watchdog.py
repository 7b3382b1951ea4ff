"""The limit for waiting for other processes."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from distributed.thread_communicator import run_ranks
from minicaffe.distributed.communicator import ALONE
from minicaffe.distributed.watchdog import Watchdog, WatchedCommunicator


class _Stuck(type(ALONE)):
    """Waits until it is released, as for a process that never answers."""

    def __init__(self):
        self.release = threading.Event()

    def barrier(self):
        assert self.release.wait(60)


def test_a_wait_beyond_the_limit_is_given_up():
    stuck, limits = _Stuck(), []

    def give_up(limit_s):
        limits.append(limit_s)
        stuck.release.set()

    WatchedCommunicator(stuck, Watchdog(0.2, give_up)).barrier()
    assert limits == [0.2]


def test_a_wait_of_a_duplicate_is_given_up_too():
    stuck, limits = _Stuck(), []

    def give_up(limit_s):
        limits.append(limit_s)
        stuck.release.set()

    WatchedCommunicator(stuck, Watchdog(0.2, give_up)).duplicate().barrier()
    assert limits == [0.2]


def test_calls_pass_through_and_their_time_is_counted():
    def work(communicator):
        watchdog = Watchdog(60, lambda limit_s: None)
        watched = WatchedCommunicator(communicator, watchdog)
        values, received = np.full(3, watched.rank + 1.0), np.empty(3)
        watched.exchange(values, received, 1 - watched.rank)
        watched.allreduce(values)
        first = np.array([watched.rank])
        watched.broadcast(first, root=1)
        watched.barrier()
        everyone = watched.duplicate().allgather(watched.rank)
        assert watchdog.waited_s > 0
        return values.tolist(), received.tolist(), first.tolist(), everyone, watched.library

    results = run_ranks(2, work)
    assert results == [([3.0] * 3, [2.0 - r] * 3, [1], [0, 1], "threads") for r in range(2)]


@pytest.mark.slow
def test_abort_ends_the_process_although_the_others_do_not_answer():
    program = (
        "import minicaffe.distributed.watchdog as w\n"
        "from minicaffe.distributed.communicator import SingleProcess\n"
        "import threading\n"
        "class Deaf(SingleProcess):\n"
        "    def abort(self, exit_code): threading.Event().wait()\n"
        "w.WatchedCommunicator(Deaf(), w.Watchdog(60, print)).abort(3)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 3
