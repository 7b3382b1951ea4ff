"""Taking turns, for programs that run nets in several threads."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from minicaffe.backends.cuda.device import Device
from minicaffe.errors import BackendUnavailable

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Turn:
    """A lock that also makes the device the current one of the thread that holds it.

    Scratch memory, what is noted of tensors, and recordings are everybody's, and CUDA launches to
    the device that the calling thread has chosen. The same thread may hold the lock more than once.

    Parameters
    ----------
    device : Device

    Raises
    ------
    BackendUnavailable
        When it is taken in a process that was forked since.
    """

    def __init__(self, device: Device) -> None:
        self._lock, self._device = threading.RLock(), device
        self._process = os.getpid()

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            raise BackendUnavailable(
                "this net was made before the process was forked, and CUDA works in one of the two "
                'only. Start processes that use a GPU with multiprocessing\'s "spawn", and make '
                "nets in them."
            )
        self._lock.acquire()
        self._device.make_current()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def in_turn(
    method: Callable[Concatenate[Any, Given], Result],
) -> Callable[Concatenate[Any, Given], Result]:
    """Have a method of something that has a `_session` hold the turn."""

    @functools.wraps(method)
    def held(self: Any, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with self._session.turn:
            return method(self, *args, **kwargs)

    return cast("Callable[Concatenate[Any, Given], Result]", held)
