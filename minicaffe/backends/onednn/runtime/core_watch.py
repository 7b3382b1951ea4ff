"""Detection of busy cores: calls on several threads that take much longer than their work."""

from __future__ import annotations

import time

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 1.0
# One delay may have any cause.
FEWEST_DELAYS = 2
# Enough for the longest pause, and few enough to be forgotten soon.
MOST_DELAYS = 10
CALLS_TO_FORGET_HALF = 50
_KEPT = 0.5 ** (1 / CALLS_TO_FORGET_HALF)


# Of calls on one thread, if pauses shall be of use.
MOST_LATE = 0.25


class CoreWatch:
    """Whether calls should use one thread for a while, because several had to wait for a core.

    Each further delay doubles the pause that follows it. So on a machine that stays busy, a program
    waits about once a second.

    A pause ends early, and none begins for a second, if it is of no use: if a call that needs
    several threads is delayed in it, which then waits longer than before because its threads have
    gone to sleep; or if calls on one thread are as late, such as those that wait for the
    interpreter lock.
    """

    def __init__(self) -> None:
        self._delays = self._late_alone = 0.0
        self._begins_s = self._ends_s = 0.0

    @property
    def is_pausing(self) -> bool:
        """Whether calls were delayed a short time ago."""
        return time.perf_counter() < self._ends_s

    def count_call(self, took_s: float, limit_s: float) -> None:
        """Count a call on several threads, by its time; beyond the limit it had to wait."""
        if took_s <= limit_s:
            self._delays *= _KEPT
            return
        now = time.perf_counter()
        if now - took_s < self._ends_s:
            self._end_pause(now)
            return
        self._delays = min(self._delays + 1, MOST_DELAYS)
        if self._delays >= FEWEST_DELAYS and now >= self._begins_s:
            pause_s = SHORTEST_PAUSE_S * 2 ** (self._delays - FEWEST_DELAYS)
            self._ends_s = now + min(pause_s, LONGEST_PAUSE_S)

    def count_calls_in_time(self, n: int) -> None:
        """Count calls on several threads that did not wait."""
        self._delays *= _KEPT**n

    def count_call_alone(self, took_s: float, limit_s: float) -> None:
        """Count a call on one thread in a pause, by its time; beyond the limit it had to wait."""
        self._late_alone = _KEPT * self._late_alone + (1 - _KEPT) * (took_s > limit_s)
        if self._late_alone > MOST_LATE:
            self._end_pause(time.perf_counter())

    def _end_pause(self, now_s: float) -> None:
        self._delays = self._late_alone = 0.0
        self._ends_s, self._begins_s = now_s, now_s + LONGEST_PAUSE_S
