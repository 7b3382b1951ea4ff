"""Signals while training: Ctrl-C (SIGINT) and SIGHUP stop, snapshot or do nothing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType

from minicaffe.log import logger


class Action(Enum):
    """What a signal asks the solver to do at the end of its iteration."""

    NONE = "none"
    STOP = "stop"
    SNAPSHOT = "snapshot"


class SignalActions:
    """Collects what signals ask for until the solver polls.

    Parameters
    ----------
    on_sigint, on_sighup : Action
        What each signal asks for.
    """

    def __init__(self, on_sigint: Action = Action.STOP, on_sighup: Action = Action.SNAPSHOT):
        self._effects = {signal.SIGINT: on_sigint}
        if hasattr(signal, "SIGHUP"):  # Windows has none
            self._effects[signal.SIGHUP] = on_sighup
        self._asked: list[Action] = []
        self._stopping = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Catch the signals inside the block; restore the former handlers after it."""
        former = {number: signal.signal(number, self._catch) for number in self._effects}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def poll(self) -> Action:
        """Return the next action asked for, and forget it."""
        return self._asked.pop(0) if self._asked else Action.NONE

    def _catch(self, number: int, frame: FrameType | None) -> None:
        action = self._effects[signal.Signals(number)]
        if action is Action.STOP:
            if self._stopping:
                # Asked twice: the person will not wait for the iteration to end.
                raise KeyboardInterrupt
            self._stopping = True
            logger.info("Stopping after this iteration; Ctrl-C again stops at once.")
        if action is not Action.NONE:
            self._asked.append(action)
