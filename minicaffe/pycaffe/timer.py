"""caffe.Timer: wall-clock time of backend work."""

from __future__ import annotations

import time

from minicaffe.pycaffe.session import current_backend


class Timer:
    """Measures the time between `start` and `stop`, including pending work of the backend."""

    def __init__(self) -> None:
        self._started_s: float | None = None
        self._elapsed_s = 0.0

    def start(self) -> None:
        """Start or restart the timer."""
        current_backend().synchronize()
        self._started_s = time.perf_counter()

    def stop(self) -> None:
        """Stop the timer; does nothing if it is not running."""
        if self._started_s is not None:
            current_backend().synchronize()
            self._elapsed_s = time.perf_counter() - self._started_s
            self._started_s = None

    @property
    def ms(self) -> float:
        """The last measured time in milliseconds; stops a running timer."""
        self.stop()
        return self._elapsed_s * 1e3
