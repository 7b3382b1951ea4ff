"""Locks for programs that run nets in several threads or processes."""

from __future__ import annotations

import copy
import functools
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from minicaffe.errors import BackendUnavailable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Forks:
    """Number of forks between this process and its first ancestor that ran this module.

    Another number shows a fork, and costs less than asking for the id of the process.
    """

    count = 0

    @classmethod
    def count_fork(cls) -> None:
        """Count that this process was forked from another one."""
        cls.count += 1


os.register_at_fork(after_in_child=Forks.count_fork)


class BackendLock:
    """Reentrant lock over the resources that all nets of a backend share.

    Parameters
    ----------
    prepare : callable
        Called each time a thread acquires the lock, to set what libraries store per thread.
    if_forked : str, optional
        For a backend that cannot be used in a forked process: the reason and the remedy.
    limit : context manager, optional
        Entered while the lock is held.

    Raises
    ------
    BackendUnavailable
        On acquisition in a forked process, if `if_forked` is given.
    """

    def __init__(
        self,
        prepare: Callable[[], None],
        if_forked: str = "",
        limit: AbstractContextManager[object] | None = None,
    ) -> None:
        self._lock, self._prepare = threading.RLock(), prepare
        self._if_forked, self._n_forks = if_forked, Forks.count
        self._limit = limit or nullcontext()

    def without_limit(self) -> BackendLock:
        """Return the same lock, which is held without entering `limit`."""
        other = copy.copy(self)
        other._limit = nullcontext()
        return other

    def __enter__(self) -> None:
        if self._if_forked and Forks.count != self._n_forks:
            raise BackendUnavailable(
                f"this net was created before the process was forked, and {self._if_forked}"
            )
        self._lock.acquire()
        try:
            self._prepare()
            self._limit.__enter__()
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *error: object) -> None:
        try:
            self._limit.__exit__(None, None, None)
        finally:
            self._lock.release()


class _HasLock(Protocol):
    @property
    def lock(self) -> BackendLock: ...


class Lockable(Protocol):
    """An object with a session, whose lock `locked` methods hold."""

    @property
    def _session(self) -> _HasLock: ...


Owner = TypeVar("Owner", bound=Lockable)


def locked(
    method: Callable[Concatenate[Owner, Arguments], Result],
) -> Callable[Concatenate[Owner, Arguments], Result]:
    """Decorate a method of an object with a `_session` to hold the session's lock."""

    @functools.wraps(method)
    def held(self: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with self._session.lock:
            return method(self, *args, **kwargs)

    return held
