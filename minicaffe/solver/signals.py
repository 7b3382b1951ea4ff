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
    """The action that a signal requests at the end of an iteration."""

    NONE = "none"
    STOP = "stop"
    SNAPSHOT = "snapshot"


_MEANING = {
    Action.STOP: "stopping after this iteration",
    Action.SNAPSHOT: "taking a snapshot",
}


class SignalActions:
    """Queue of the actions that signals request, which the solver polls.

    Parameters
    ----------
    on_sigint, on_sighup : Action
        The action of each signal.
    """

    def __init__(self, on_sigint: Action = Action.STOP, on_sighup: Action = Action.SNAPSHOT):
        self._effects = {signal.SIGINT: on_sigint}
        if hasattr(signal, "SIGHUP"):  # Windows has none
            self._effects[signal.SIGHUP] = on_sighup
        self._requested: list[tuple[str, Action]] = []
        self._stopping = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals inside the block; restore the earlier handlers after it."""
        former = {number: signal.signal(number, self._catch) for number in self._effects}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def poll(self) -> Action:
        """Remove and return the next requested action."""
        if not self._requested:
            return Action.NONE
        name, action = self._requested.pop(0)
        logger.info(f"{name}: {_MEANING[action]}")
        return action

    def _catch(self, number: int, frame: FrameType | None) -> None:
        action = self._effects[signal.Signals(number)]
        if action is Action.STOP:
            if self._stopping:
                # The second signal interrupts the iteration.
                raise KeyboardInterrupt
            self._stopping = True
            _write_to_terminal(
                "Stopping after this iteration; Ctrl-C again stops at once, without a snapshot."
            )
        if action is not Action.NONE:
            self._requested.append((signal.Signals(number).name, action))


def _write_to_terminal(message: str) -> None:
    """Write a message to the terminal immediately, because the iteration may take long.

    Not to the log: the signal may interrupt a write to it. `poll` logs the action.
    """
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, f"\r\n{message}\r\n".encode())
