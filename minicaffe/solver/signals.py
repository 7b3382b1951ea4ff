"""Signals while training: Ctrl-C (SIGINT) and SIGHUP stop, snapshot or do nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from types import FrameType

from minicaffe.log import logger


class Action(Enum):
    """What a signal asks the solver to do at the end of its iteration."""

    NONE = "none"
    STOP = "stop"
    SNAPSHOT = "snapshot"


_MEANING = {
    Action.STOP: "stopping after this iteration",
    Action.SNAPSHOT: "taking a snapshot",
}


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
        self._asked: list[tuple[str, Action]] = []
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
        if not self._asked:
            return Action.NONE
        name, action = self._asked.pop(0)
        logger.info(f"{name}: {_MEANING[action]}")
        return action

    def _catch(self, number: int, frame: FrameType | None) -> None:
        action = self._effects[signal.Signals(number)]
        if action is Action.STOP:
            if self._stopping:
                # Asked twice: the person will not wait for the iteration to end.
                raise KeyboardInterrupt
            self._stopping = True
            _tell("Stopping after this iteration; Ctrl-C again stops at once, without a snapshot.")
        if action is not Action.NONE:
            self._asked.append((signal.Signals(number).name, action))


def _tell(message: str) -> None:
    """Write to the terminal at once: an iteration may be long, and a second Ctrl-C costs it.

    A signal may come in the middle of a write to the log, where the log cannot be written to; it
    gets its line from `poll`.
    """
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, f"\r\n{message}\r\n".encode())
