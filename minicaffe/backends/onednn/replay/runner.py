"""Runs the tasks of a pass; repeats their native calls without Python as soon as they are known.

A layer costs 5 to 7 microseconds of Python, which for one image is up to half of the time of a
small net. A pass that ran twice with nothing else between is recorded in the next run. Consecutive
tasks in which only recorded native calls access tensors become a `Segment`; the other tasks run
between the segments. A recording is given up as soon as something else ran layers of the net, or a
segment is not valid: then all tasks run, and are recorded again later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from minicaffe.backends.onednn.replay.segment import RecordedTask, Segment, Use
from minicaffe.backends.onednn.runtime.call_log import LoggedTensor, StorageState, TaskRecord
from minicaffe.backends.onednn.runtime.primitive import Engine
from minicaffe.native.library import NativeLibrary
from minicaffe.ops.backend import NetChanges, Task

# Runs with nothing else between, after which a pass is recorded.
RUNS_BEFORE = 2
# Python's share of longer passes is small. They would keep other threads from the lock, and the
# handler of a signal from running.
LONGEST_PASS_S = 0.1
# A pass that was recorded this often, and seldom repeated, is not recorded again.
MAX_FAILURES = 8
# Replays that make a recording worth while.
ENOUGH_REPLAYS = 10


class Resources(NamedTuple):
    """What the passes of a backend use.

    Attributes
    ----------
    engine : Engine
    native : NativeLibrary
        The C kernels.
    lock : context manager
        To hold while recorded calls run.
    blas_limit : context manager
        To enter while tasks run.
    """

    engine: Engine
    native: NativeLibrary
    lock: AbstractContextManager[object]
    blas_limit: AbstractContextManager[object]


class Repetition:
    """The recorded calls of a pass, and how often they were repeated.

    Attributes
    ----------
    pieces : list of Segment or int
        Segments, and numbers of the tasks between them; empty if nothing is recorded.
    runs, replays, failures : int
        Passes before a recording, repeated passes, and recordings that were seldom repeated.
    """

    def __init__(self) -> None:
        self.pieces: list[Segment | int] = []
        self.runs = self.replays = self.failures = 0

    @property
    def should_record(self) -> bool:
        """Whether the next pass is recorded."""
        return self.runs >= RUNS_BEFORE and self.failures < MAX_FAILURES

    def give_up(self) -> None:
        """Forget the recording, and count passes from the beginning."""
        if self.pieces:
            self.failures = 0 if self.replays >= ENOUGH_REPLAYS else self.failures + 1
        self.pieces, self.runs, self.replays = [], 0, 0


class SequenceRunner:
    """Runs tasks in order each time it is called.

    While cores are busy, short calls use one thread; such passes have a recording of their own.

    Parameters
    ----------
    resources : Resources
    tasks : sequence of callable
    changes : NetChanges
        Of the net of the tasks.
    """

    def __init__(self, resources: Resources, tasks: Sequence[Task], changes: NetChanges) -> None:
        self._resources, self._watch = resources, resources.engine.watch
        self._tasks, self._changes = tuple(tasks), changes
        # Outside of pauses, and in them.
        self._repetitions = Repetition(), Repetition()
        self._count = -1

    def __call__(self) -> None:
        """Run the tasks, or repeat their calls."""
        is_same = self._count == self._changes.count
        self._count = -1  # if a task raises
        if not is_same:
            for repetition in self._repetitions:
                repetition.give_up()
        is_pausing = self._watch.is_pausing
        repetition = self._repetitions[is_pausing]
        begin = 0
        if repetition.pieces:
            begin = self._replay(repetition)
            if begin < len(self._tasks):
                repetition.give_up()
        if begin < len(self._tasks):
            repetition.runs += is_same
            self._run(repetition, begin, is_pausing)
        self._count = self._changes.count

    def _replay(self, repetition: Repetition) -> int:
        """Repeat the recorded calls; return the number of the first task that is still to run."""
        for piece in repetition.pieces:
            if isinstance(piece, Segment):
                with self._resources.lock:
                    next_task = piece.run()
                if next_task != piece.end:
                    return next_task
            else:
                with self._resources.blas_limit:
                    self._tasks[piece]()
        repetition.replays += 1
        return len(self._tasks)

    def _run(self, repetition: Repetition, begin: int, is_pausing: bool) -> None:
        start = time.perf_counter()
        with self._resources.blas_limit:
            if begin == 0 and repetition.should_record:
                repetition.pieces = self._record(is_pausing)
                return
            for task in self._tasks[begin:]:
                task()
        if time.perf_counter() - start > LONGEST_PASS_S:
            repetition.runs = 0

    def _record(self, is_pausing: bool) -> list[Segment | int]:
        """Run the tasks; return their recording, or nothing if a pause began or ended."""
        engine, native = self._resources.engine, self._resources.native
        with engine.log.recorded_run() as is_ours:
            if is_ours:
                recording = Recording(engine, native, self._changes, is_pausing)
                pieces = recording.run(self._tasks)
                return pieces if self._watch.is_pausing == is_pausing else []
        for task in self._tasks:
            task()
        return []


class Recording:
    """One run of tasks that records their native calls.

    Parameters
    ----------
    engine : Engine
        Of the backend.
    native : NativeLibrary
    changes : NetChanges
        As for `SequenceRunner`.
    is_in_pause : bool
        Whether short calls use one thread, because cores are busy.
    """

    def __init__(
        self, engine: Engine, native: NativeLibrary, changes: NetChanges, is_in_pause: bool
    ) -> None:
        self._engine, self._native, self._changes = engine, native, changes
        self._is_in_pause = is_in_pause
        self._log = engine.log
        self._pieces: list[Segment | int] = []
        # Of the segment that is not complete.
        self._tasks: list[RecordedTask] = []
        self._before: dict[int, tuple[LoggedTensor, StorageState]] = {}
        self._fixed: set[int] = set()

    def run(self, tasks: Sequence[Task]) -> list[Segment | int]:
        """Run all tasks; return segments, and the numbers of the tasks between them."""
        for number, task in enumerate(tasks):
            effects = self._changes.effects
            with self._log.recorded_task() as record:
                task()
            if record.can_be_replayed and effects == self._changes.effects:
                self._add(number, record)
            else:
                self._end_segment(record)
                self._pieces.append(number)
        self._end_segment(TaskRecord())
        return self._pieces

    def _add(self, number: int, record: TaskRecord) -> None:
        has_checks = any(call.is_check for call in record.calls)
        states = self._states_before(record) if has_checks else {}
        self._tasks.append(RecordedTask(number, record.calls, states))
        self._before = {**record.before, **self._before}
        self._fixed |= record.fixed

    def _end_segment(self, record: TaskRecord) -> None:
        """Complete a segment; given the record of the task after it."""
        if self._tasks:
            after = self._states_before(record)
            uses = [
                Use(tensor, before, after[key], key in self._fixed)
                for key, (tensor, before) in self._before.items()
            ]
            libraries = self._engine, self._native
            self._pieces.append(Segment(*libraries, self._tasks, uses, self._is_in_pause))
        self._tasks, self._before, self._fixed = [], {}, set()

    def _states_before(self, record: TaskRecord) -> dict[int, StorageState]:
        """Return the states before a task that has just run, of the tensors of this segment."""
        return {
            key: record.before[key][1] if key in record.before else tensor.state()
            for key, (tensor, _) in self._before.items()
        }
