"""Waits: calls that wait for other processes, and the time limit of ranks."""

import threading

import pytest

from minicaffe.cli.program import ranks
from minicaffe.distributed.waits import Waits
from minicaffe.errors import UsageError

TIMEOUT_S = 60


def test_a_long_wait_is_noticed():
    waits, noticed = Waits(), threading.Event()
    waits.watch(0.03, noticed.set, period_s=0.01)
    with waits.waiting():
        assert noticed.wait(TIMEOUT_S)


def test_short_waits_are_not_added_up():
    waits, noticed, calls = Waits(), [], threading.Event()
    waits.watch(1000.0, lambda: noticed.append(1), period_s=0.001)
    for _ in range(50):
        with waits.waiting():
            calls.wait(0.002)
    assert not noticed


def test_the_waits_of_all_calls_are_added_up():
    waits, event = Waits(), threading.Event()
    for _ in range(3):
        with waits.waiting():
            event.wait(0.01)
    assert 0.025 < waits.total_s < TIMEOUT_S


def test_threads_wait_separately():
    waits, noticed, begun = Waits(), threading.Event(), threading.Event()

    def wait():
        with waits.waiting():
            begun.set()
            noticed.wait(TIMEOUT_S)

    thread = threading.Thread(target=wait)
    thread.start()
    assert begun.wait(TIMEOUT_S)
    with waits.waiting():  # ends, and the other one goes on
        pass
    waits.watch(0.02, noticed.set, period_s=0.01)
    assert noticed.wait(TIMEOUT_S)
    thread.join()


@pytest.mark.parametrize(("text", "seconds"), [("", 600), ("5", 5), ("0", 0), ("2.5", 2.5)])
def test_time_limit(monkeypatch, text, seconds):
    monkeypatch.setenv(ranks.TIMEOUT, text)
    assert ranks._timeout_s() == seconds


@pytest.mark.parametrize("text", ["never", "-1", "nan", "inf"])
def test_wrong_time_limit(monkeypatch, text):
    monkeypatch.setenv(ranks.TIMEOUT, text)
    with pytest.raises(UsageError, match=r"MINICAFFE_RANK_TIMEOUT_S=.*: must be a number of sec"):
        ranks._timeout_s()
