"""Signals while training: Ctrl-C (SIGINT), SIGTERM and SIGHUP stop, snapshot or do nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from types import FrameType
from typing import Any

from minicaffe.log import logger


class Action(Enum):
    """The action that a signal requests at the end of an iteration."""

    NONE = "none"
    STOP = "stop"
    SNAPSHOT = "snapshot"


MEANING = {
    Action.STOP: "stopping after this iteration",
    Action.SNAPSHOT: "taking a snapshot",
}


class SignalActions:
    """Queue of the actions that signals request, which the solver polls.

    A signal that asks to stop while the training is stopping takes its effect from outside the
    block: SIGINT raises KeyboardInterrupt, the others end the process.

    Parameters
    ----------
    on_sigint, on_sighup, on_sigterm : Action
        The action of each signal.

    Attributes
    ----------
    tell : callable
        Prints a message from the signal handler. By default to stderr if that is a terminal.
    """

    def __init__(
        self,
        on_sigint: Action = Action.STOP,
        on_sighup: Action = Action.SNAPSHOT,
        on_sigterm: Action = Action.STOP,
    ) -> None:
        self._effects = {signal.SIGINT: on_sigint, signal.SIGTERM: on_sigterm}
        if hasattr(signal, "SIGHUP"):  # Windows has none
            self._effects[signal.SIGHUP] = on_sighup
        # Any: signal.signal takes and returns functions and two numbers.
        self._former: Mapping[int, Any] = {}
        self._requested: list[tuple[str, Action]] = []
        self._stopping = False
        self.tell: Callable[[str], object] = _write_to_terminal

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals inside the block; restore the earlier handlers after it."""
        self._former = {number: signal.signal(number, self._catch) for number in self._effects}
        try:
            yield
        finally:
            for number, handler in self._former.items():
                signal.signal(number, handler)

    def poll(self) -> Action:
        """Remove and return the next requested action."""
        if not self._requested:
            return Action.NONE
        name, action = self._requested.pop(0)
        logger.info(f"{name}: {MEANING[action]}")
        return action

    def _catch(self, number: int, frame: FrameType | None) -> None:
        received = signal.Signals(number)
        action = self._effects[received]
        if action is Action.STOP:
            if self._stopping:
                self._stop_at_once(received, frame)
                return
            self._stopping = True
            again = "Ctrl-C" if received is signal.SIGINT else received.name
            self.tell(
                f"Stopping after this iteration; {again} again stops at once, without a snapshot."
            )
        if action is not Action.NONE:
            self._requested.append((received.name, action))

    def _stop_at_once(self, received: signal.Signals, frame: FrameType | None) -> None:
        """Interrupt the iteration."""
        former = self._former.get(received)
        if callable(former):
            former(received, frame)
        elif received is signal.SIGINT:
            raise KeyboardInterrupt
        else:
            signal.signal(received, signal.SIG_DFL)
            os.kill(os.getpid(), received)


def _write_to_terminal(message: str) -> None:
    """Write a message to the terminal immediately, because the iteration may take long.

    Not to the log: the signal may interrupt a write to it. `poll` logs the action.
    """
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, f"\r\n{message}\r\n".encode())
