import os
import subprocess
import sys
import threading
import traceback

import numpy as np
import pytest
from test_batches import IMAGES, batches

from minicaffe.data import prefetch
from minicaffe.data.batch_source import Batch
from minicaffe.data.prefetch import Prefetcher
from minicaffe.errors import DataError


class Counter:
    """A source that counts; `gate` opens the way for one batch each time it is released."""

    shapes, assembler = [(1, 1, 1, 1), (1,)], None

    def __init__(self, fail_at=None, gated=False):
        self.count, self.fail_at, self.closed = 0, fail_at, False
        self.gate = threading.Semaphore(0) if gated else None
        self.asked = threading.Semaphore(0)

    def next(self):
        self.asked.release()
        if self.gate:
            self.gate.acquire()
        if self.count == self.fail_at:
            raise DataError("the source is at its end")
        self.count += 1
        value = np.full((1, 1, 1, 1), self.count, np.float32)
        return Batch((value, value.reshape(1)), (), self.position())

    def skip_batches(self, n):
        self.count += n

    def position(self):
        return {"count": self.count}

    def restore(self, position):
        self.count = position["count"]

    def close(self):
        self.closed = True


def values(source, n):
    return [int(source.next().tops[1][0]) for _ in range(n)]


def threads():
    return [t for t in threading.enumerate() if t.name == "minicaffe-prefetch"]


def test_same_batches_in_the_same_order():
    source = Prefetcher(Counter(), depth=3)
    assert source.shapes == [(1, 1, 1, 1), (1,)]
    assert values(source, 50) == list(range(1, 51))
    assert source.data_wait_s > 0
    source.close()
    assert not threads()


def test_it_reads_ahead_no_further_than_its_depth():
    counter = Counter(gated=True)
    source = Prefetcher(counter, depth=2)
    counter.gate.release(3)
    source.next()
    counter.gate.release(10)
    # One delivered, two waiting: the fourth may be made only when a place is free.
    source.next()
    source.close()
    assert counter.count <= 4


def test_nothing_is_read_before_the_first_batch_is_asked_for():
    source = Prefetcher(Counter(), depth=2)
    assert not threads()
    source.close()


def test_position_counts_what_was_delivered():
    source = Prefetcher(Counter(), depth=4)
    assert source.position() == {"count": 0}
    values(source, 3)
    assert source.position() == {"count": 3}
    source.restore({"count": 1})
    assert source.position() == {"count": 1}
    assert values(source, 2) == [2, 3]
    source.close()


def test_an_error_comes_after_the_good_batches_with_its_traceback():
    source = Prefetcher(Counter(fail_at=2), depth=4)
    assert values(source, 2) == [1, 2]
    for _ in range(2):
        with pytest.raises(DataError, match="the source is at its end") as caught:
            source.next()
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert "_run" in frames
    source.restore({"count": 0})
    assert values(source, 1) == [1]
    source.close()


def test_after_an_error_the_next_call_tries_again():
    counter = Counter(fail_at=2)
    source = Prefetcher(counter, depth=4)
    assert values(source, 2) == [1, 2]
    with pytest.raises(DataError):
        source.next()
    counter.fail_at = None
    assert values(source, 2) == [3, 4]
    source.close()


def test_without_depth_there_is_no_thread():
    counter = Counter()
    source = Prefetcher(counter, depth=0)
    assert values(source, 2) == [1, 2]
    assert source.position() == {"count": 2}
    assert counter.count == 2
    assert not threads()
    source.close()


def test_close_closes_the_source_and_may_come_twice():
    counter = Counter()
    source = Prefetcher(counter, depth=1)
    source.next()
    source.close()
    source.close()
    assert counter.closed


def test_close_does_not_wait_for_a_read_that_hangs(monkeypatch, caplog_minicaffe):
    monkeypatch.setattr(prefetch, "_CLOSE_TIMEOUT_S", 0.05)
    counter = Counter(gated=True)
    source = Prefetcher(counter, depth=1)
    counter.gate.release()
    source.next()
    counter.asked.acquire()
    counter.asked.acquire()  # the second batch is being read now
    source.close()
    assert not counter.closed
    assert "prefetching still waits for a read after 0.05 s" in caplog_minicaffe.text
    counter.gate.release()
    for thread in threads():
        thread.join()


def test_a_prefetcher_without_references_ends_its_thread():
    source = Prefetcher(Counter(), depth=1)
    source.next()
    (thread,) = threads()
    del source
    thread.join(5)
    assert not thread.is_alive()


def test_it_prefetches_a_database(make_database):
    path = make_database(IMAGES)
    plain, ahead = batches(path, 4), Prefetcher(batches(path, 4), depth=3)
    for _ in range(6):
        expected, batch = plain.next(), ahead.next()
        np.testing.assert_array_equal(batch.tops[0], expected.tops[0])
        assert ahead.position() == expected.position
    plain.close()
    ahead.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_the_child_starts_its_own_thread(make_database):
    path = make_database(IMAGES)
    source = Prefetcher(batches(path, 2), depth=2)
    source.next()
    child = os.fork()
    if child == 0:
        os._exit(0 if source.next().tops[1].tolist() == [2, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert source.next().tops[1].tolist() == [2, 3]
    source.close()


def test_a_program_ends_with_the_thread_running(make_database):
    program = (
        "import sys\n"
        "sys.path.insert(0, 'tests/data')\n"
        "from test_prefetch import Prefetcher, batches\n"
        f"source = Prefetcher(batches({make_database(IMAGES)!r}, 2), 2)\n"
        "print(source.next().tops[1].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[0.0, 1.0]\n"
    assert done.stderr == ""


def test_skipped_batches_are_not_made_once_their_number_repeats():
    counter = Counter()
    source = Prefetcher(counter, depth=2)
    made, make = [], counter.next

    def next_batch():
        batch = make()
        made.append(counter.count)
        return batch

    counter.next = next_batch
    found = []
    for _ in range(6):
        source.skip_batches(1)
        found.append(int(source.next().tops[1][0]))
        source.skip_batches(2)
    assert found == [2, 6, 10, 14, 18, 22]
    assert source.position() == {"count": 24}
    # Batch 2 comes before it is known how many are skipped; those after it were dropped.
    assert {number % 4 for number in made if number > 4} == {2}
    source.close()


def test_an_error_does_not_forget_what_is_to_be_skipped():
    counter = Counter(fail_at=6)
    source = Prefetcher(counter, depth=2)
    for number in (1, 4):
        assert int(source.next().tops[1][0]) == number
        source.skip_batches(2)
    with pytest.raises(DataError, match="at its end"):
        source.next()
    counter.fail_at = None
    assert int(source.next().tops[1][0]) == 7
    source.close()


def test_a_prefetcher_that_is_freed_in_its_own_thread():
    counter, held, is_mine = Counter(), [], threading.Event()
    make = counter.next

    def next_batch():
        if counter.count == 1:
            assert is_mine.wait(30)
            held.clear()
        return make()

    counter.next = next_batch
    held.append(Prefetcher(counter, depth=1))
    held[0].next()
    is_mine.set()  # the only reference is the one in `held`
    for thread in threading.enumerate():
        if thread.name == "minicaffe-prefetch":
            thread.join(30)
            assert not thread.is_alive()
    assert not held
