"""A stopwatch, as pycaffe has it."""

from __future__ import annotations

import time

from minicaffe.pycaffe.session import current_backend


class Timer:
    """Measure the time between `start` and `stop`, all work of the backend included."""

    def __init__(self) -> None:
        self._started_s: float | None = None
        self._elapsed_s = 0.0

    def start(self) -> None:
        """Start, or start again."""
        current_backend().synchronize()
        self._started_s = time.perf_counter()

    def stop(self) -> None:
        """Stop; without a start nothing happens."""
        if self._started_s is not None:
            current_backend().synchronize()
            self._elapsed_s = time.perf_counter() - self._started_s
            self._started_s = None

    @property
    def ms(self) -> float:
        """Milliseconds measured last; stops a timer that runs."""
        self.stop()
        return self._elapsed_s * 1e3
