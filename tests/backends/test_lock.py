"""The lock of a backend: how it is acquired and released."""

from __future__ import annotations

import contextlib
import threading

import pytest

from minicaffe.backends.lock import BackendLock


def is_free(lock):
    """Return whether another thread can acquire the lock."""

    def acquire():
        with lock:
            pass

    thread = threading.Thread(target=acquire, daemon=True)
    thread.start()
    thread.join(5)
    return not thread.is_alive()


def test_lock_is_released_if_it_cannot_be_prepared():
    def fail():
        raise OSError("no card")

    lock = BackendLock(fail)
    with pytest.raises(OSError, match="no card"), lock:
        pass
    lock._prepare = lambda: None
    assert is_free(lock)


def test_limit_is_entered_while_the_lock_is_held():
    events = []

    @contextlib.contextmanager
    def limit():
        events.append("enter")
        try:
            yield
        finally:
            events.append("exit")

    lock = BackendLock(lambda: events.append("prepare"), limit=limit())

    def fail():
        events.append("compute")
        raise OSError("task")

    with pytest.raises(OSError, match="task"), lock:
        fail()
    assert events == ["prepare", "enter", "compute", "exit"]


def test_lock_is_released_if_the_limit_cannot_be_entered():
    class Failing:
        def __enter__(self):
            raise OSError("limit")

        def __exit__(self, *_):
            raise AssertionError("it was not entered")

    lock = BackendLock(lambda: None, limit=Failing())
    with pytest.raises(OSError, match="limit"), lock:
        pass
    lock._limit = contextlib.nullcontext()
    assert is_free(lock)
