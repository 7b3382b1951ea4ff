"""Taking turns, for programs that run nets in several threads or processes."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from minicaffe.errors import BackendUnavailable

Given = ParamSpec("Given")
Result = TypeVar("Result")


class BackendLock:
    """A lock over what all nets of a backend share. A thread may hold it more than once.

    Parameters
    ----------
    prepare : callable
        Called whenever a thread takes the lock: what libraries keep for each thread by itself.
    if_forked : str, optional
        Why, and what to do, where the backend is of no use in a process that was forked since.

    Raises
    ------
    BackendUnavailable
        When it is taken in such a process.
    """

    def __init__(self, prepare: Callable[[], None], if_forked: str = "") -> None:
        self._lock, self._prepare = threading.RLock(), prepare
        self._if_forked, self._process = if_forked, os.getpid()

    def __enter__(self) -> None:
        if self._if_forked and os.getpid() != self._process:
            raise BackendUnavailable(
                f"this net was made before the process was forked, and {self._if_forked}"
            )
        self._lock.acquire()
        try:
            self._prepare()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def locked(
    method: Callable[Concatenate[Any, Given], Result],
) -> Callable[Concatenate[Any, Given], Result]:
    """Have a method of something that has a `_session` hold the session's turn."""

    @functools.wraps(method)
    def held(self: Any, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with self._session.lock:
            return method(self, *args, **kwargs)

    return cast("Callable[Concatenate[Any, Given], Result]", held)
