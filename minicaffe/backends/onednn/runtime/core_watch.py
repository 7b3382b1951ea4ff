"""Detection of busy cores: calls on several threads that take longer than they would on one."""

from __future__ import annotations

import math
from time import perf_counter

from minicaffe.backends.onednn.runtime.call_log import NativeCall

# A program that still waits after a pause makes a longer one, so that on a machine that stays busy
# it waits about once a second.
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.01, 1.0
# Of the time of calls: long enough for several waits of some milliseconds.
HALF_LIFE_S = 0.05
# Pauses of less use than this end, because changing takes time as well.
MARGIN = 1.2
# Estimates of work are at most so many times too low.
ESTIMATE_TOLERANCE = 2.0
# Times of one thread vary by less.
TOLERANCE = 1.25
# Waking a thread on an idle core takes so long.
WAKING_S = 50e-6
# Calls must have waited so long since the last pause: the first ones after it wake threads, which
# takes up to half a millisecond in a virtual machine.
LEAST_WAIT_S = 2e-3


class CoreWatch:
    """Whether calls should use one thread for a while, because several wait for a core too long.

    A pause begins after some waits, if the last calls on several threads took longer together
    than one undisturbed thread would have taken. One thread may have to wait as well, for a
    core or for the interpreter lock; and calls that need several threads wait longer in a
    pause, because the threads have gone to sleep. If the calls in pauses are no faster for such
    reasons, none begins for a second.

    Attributes
    ----------
    ends_s : float
        When the last pause ends, or has ended.
    """

    def __init__(self) -> None:
        self.ends_s = self._pause_s = 0.0
        # Until then it is known that pauses are of no use.
        self._expires_s = math.inf
        self._outside, self._inside = Slowness(), Slowness()
        self._waited_s = 0.0

    @property
    def is_pausing(self) -> bool:
        """Whether calls wait for busy cores, and should use one thread for now."""
        return perf_counter() < self.ends_s

    def count_call(self, took_s: float, alone_s: float) -> None:
        """Count calls outside of pauses that did not wait.

        Parameters
        ----------
        took_s : float
        alone_s : float
            Their time on one undisturbed thread.
        """
        self._outside.add(took_s, alone_s)

    def count_wait(self, took_s: float, alone_s: float, now_s: float) -> None:
        """Count calls outside of pauses that had to wait, and perhaps begin a pause."""
        self._outside.add(took_s, alone_s)
        self._outside.fade()
        if now_s >= self._expires_s:
            self._inside, self._expires_s = Slowness(), math.inf
        self._waited_s += took_s - alone_s
        if self._waited_s < LEAST_WAIT_S or self._outside.ratio <= self._inside.ratio:
            return
        self._waited_s = 0.0
        is_again = now_s - self.ends_s < LONGEST_PAUSE_S
        pause_s = 2 * self._pause_s if is_again else SHORTEST_PAUSE_S
        self._pause_s = min(max(pause_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)
        self.ends_s = now_s + self._pause_s

    def count_call_in_pause(self, took_s: float, alone_s: float, now_s: float) -> None:
        """Count a call on any number of threads that began in a pause, and perhaps end that."""
        self._inside.add(took_s, alone_s)
        if self._inside.new_s < HALF_LIFE_S:
            return
        self._inside.fade()
        if self._inside.ratio >= MARGIN * self._outside.ratio:
            self.ends_s, self._pause_s = now_s, 0.0
            self._expires_s = now_s + LONGEST_PAUSE_S


class Slowness:
    """How many times longer calls took than on one undisturbed thread; the last count most.

    Attributes
    ----------
    new_s : float
        The time of the calls since `fade`.
    """

    def __init__(self) -> None:
        self.new_s = self._new_alone_s = self._took_s = self._alone_s = 0.0

    def add(self, took_s: float, alone_s: float) -> None:
        """Add a call."""
        self.new_s += took_s
        self._new_alone_s += alone_s

    def fade(self) -> None:
        """Give calls less weight: half as much when further ones have taken `HALF_LIFE_S`."""
        passed = self.new_s / HALF_LIFE_S
        kept = 0.5**passed
        # The weight of the new calls, as if each had taken equally longer than alone.
        left = (1 - kept) / (passed * math.log(2))
        self._took_s = kept * self._took_s + left * self.new_s
        self._alone_s = kept * self._alone_s + left * self._new_alone_s
        self.new_s = self._new_alone_s = 0.0

    @property
    def ratio(self) -> float:
        """The quotient of both times up to `fade`; 1 if there was no call."""
        return self._took_s / self._alone_s if self._alone_s else 1.0


class TimedCall:
    """A call that uses one thread in pauses; its times tell the watch whether cores are busy.

    Parameters
    ----------
    watch : CoreWatch
    threads : int
        Outside of pauses.
    estimated_s : float
        On one idle core.
    """

    def __init__(self, watch: CoreWatch, threads: int, estimated_s: float) -> None:
        self.watch = watch
        self._threads, self._longest_s = threads, ESTIMATE_TOLERANCE * estimated_s
        self._shared_s = self._measured_alone_s = self._alone_s = self._limit_s = math.inf
        self._has_run = False

    def never_run_alone(self) -> None:
        """Count waits only; for a call that needs its threads in pauses too."""
        self._threads, self._longest_s = 1, math.inf

    def watched(self, call: NativeCall) -> NativeCall:
        """Return a call with the times by which repeated runs on several threads are judged."""
        if self._limit_s == math.inf:
            return call
        return call._replace(limit_s=self._limit_s, alone_s=self._alone_s)

    def count(self, start_s: float, is_alone: bool) -> None:
        """Count a run that has ended, on one thread or on several, by when it began."""
        now_s = perf_counter()
        took_s = now_s - start_s
        if took_s < (self._measured_alone_s if is_alone else self._shared_s):
            if not self._has_run:  # the system provides pages for new memory in the first run
                self._has_run = True
                return
            self._learn(took_s, is_alone)
        if start_s < self.watch.ends_s:
            self.watch.count_call_in_pause(took_s, self._alone_s, now_s)
        elif took_s <= self._limit_s:
            self.watch.count_call(took_s, self._alone_s)
        else:
            self.watch.count_wait(took_s, self._alone_s, now_s)

    def _learn(self, took_s: float, is_alone: bool) -> None:
        if is_alone:
            self._measured_alone_s = took_s
        else:
            self._shared_s = took_s
        self._alone_s = self._measured_alone_s
        if self._alone_s == math.inf:
            self._alone_s = min(self._threads * self._shared_s, self._longest_s)
        self._limit_s = TOLERANCE * self._alone_s + WAKING_S
