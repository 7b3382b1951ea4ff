"""Threads take turns at a backend."""

from __future__ import annotations

import threading

import pytest

from minicaffe.backends.lock import BackendLock


def test_it_is_not_kept_where_it_cannot_be_prepared():
    def fail():
        raise OSError("no card")

    turn = BackendLock(fail)
    with pytest.raises(OSError, match="no card"), turn:
        pass
    turn._prepare = lambda: None
    thread = threading.Thread(target=lambda: turn.__enter__(), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
