"""Consecutive tasks whose recorded native calls are repeated instead of running the tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np

from minicaffe.backends.onednn.runtime.call_log import (
    LoggedTensor,
    NativeCall,
    Observer,
    StorageState,
)
from minicaffe.backends.onednn.runtime.library import check_onednn
from minicaffe.backends.onednn.runtime.memory import Buffer
from minicaffe.backends.onednn.runtime.primitive import Engine
from minicaffe.native.library import NativeLibrary

# Of `Call` and `Outcome` in call_sequence.c.
_CALL = np.dtype(
    [("run", np.uint64), ("arguments", np.uint64), ("limit", np.float64), ("alone", np.float64)]
)
_OUTCOME_FIELDS = 5


class Use(NamedTuple):
    """A tensor that a segment uses.

    Attributes
    ----------
    tensor : LoggedTensor
    before, after : StorageState
        Its states before and after the recorded tasks.
    is_fixed : bool
        Whether the calls are valid for the values of the recording only.
    """

    tensor: LoggedTensor
    before: StorageState
    after: StorageState
    is_fixed: bool

    def buffers(self) -> Iterator[Buffer]:
        """Yield the buffers that the tasks may use."""
        yield from self.after.packed.values()
        if self.after.plain is not None:
            yield self.after.plain

    def is_valid_in(self, state: StorageState) -> bool:
        """Return whether the calls compute in a state what the tasks would compute."""
        return state.can_repeat(self.before, self.after)

    @property
    def is_written(self) -> bool:
        """Whether the tasks overwrite the values."""
        return self.before.version != self.after.version


class RecordedTask(NamedTuple):
    """The calls of a task.

    Attributes
    ----------
    number : int
        Its position in the pass.
    calls : sequence of NativeCall
    states : mapping
        If it has checks: the states before it of the tensors that tasks of the segment used until
        then, by their ids.
    """

    number: int
    calls: Sequence[NativeCall]
    states: Mapping[int, StorageState]


class Segment:
    """Recorded calls, with the states of the tensors for which they are valid.

    Python decides which calls a task makes. It decides the same if all tensors that the tasks use
    are in the states of the recording. Tensors report changes of their state, so only these are
    compared: a net has hundreds of tensors, and a user changes a few between two passes.

    Parameters
    ----------
    engine : Engine
    native : NativeLibrary
    tasks : sequence of RecordedTask
    uses : sequence of Use
    is_in_pause : bool
        Whether short calls use one thread, because cores are busy.

    Attributes
    ----------
    begin, end : int
        The numbers of the first task and of the one after the last.
    """

    def __init__(
        self,
        engine: Engine,
        native: NativeLibrary,
        tasks: Sequence[RecordedTask],
        uses: Sequence[Use],
        is_in_pause: bool,
    ) -> None:
        self._is_in_pause = is_in_pause
        self._engine, self._tasks, self._uses = engine, tasks, uses
        self._calls = [call for task in tasks for call in task.calls]
        packed = [native.slots(call.function, call.arguments) for call in self._calls]
        self._slots = np.frombuffer(b"".join(packed), np.uint64)
        self._table = np.zeros(len(packed), _CALL)
        self._table["run"] = [native.caller(call.function) for call in self._calls]
        sizes = np.array([0, *map(len, packed)], np.uint64)
        self._table["arguments"] = self._slots.ctypes.data + np.cumsum(sizes)[:-1]
        self._table["limit"] = [call.limit_s for call in self._calls]
        self._table["alone"] = [call.alone_s for call in self._calls]
        self._is_watched = bool(self._table["limit"].any())
        self._outcome = np.zeros(_OUTCOME_FIELDS)
        self._run_calls = native.lookup("run_calls")
        addresses = self._table.ctypes.data, len(packed), engine.log.status_at
        self._given = (*addresses, self._outcome.ctypes.data)
        self._moves = Buffer.moves
        self._addresses = [(b, b.address) for use in uses for b in use.buffers()]
        self.begin, self.end = tasks[0].number, tasks[-1].number + 1
        self._written = [use.tensor for use in uses if use.is_written]
        self._fixed = [use for use in uses if use.is_fixed]
        # The uses whose tensors may be in other states than the tasks have left.
        self._changed = set(range(len(uses)))
        self._unsteady = {key for key, use in enumerate(uses) if not use.is_valid_in(use.after)}
        for key, use in enumerate(uses):
            use.tensor.add_observer(Observer(self._changed, key))

    def __del__(self) -> None:
        if hasattr(self, "_changed"):
            for use in self._uses:
                use.tensor.stop_observing(self._changed)

    def run(self) -> int:
        """Repeat the calls; return the number of the first task that is still to run.

        That is the first one if the calls are not valid now, another one if values fail a check,
        and `end` otherwise. The tensors are in the states that the tasks before it leave.

        Raises
        ------
        BackendUnavailable
            If a primitive fails.
        """
        if not self._calls:
            return self.end
        keys = tuple(self._changed)
        changed = [(self._uses[key], self._uses[key].tensor.state()) for key in keys]
        if not self._are_in_place() or not all(use.is_valid_in(state) for use, state in changed):
            return self.begin
        # As when a task runs, the states change first: after an interruption by a signal, no memory
        # counts as holding new values that does not.
        for use, _ in changed:
            use.tensor.take_state(use.after, keeps=not use.is_written)
        self._changed.difference_update(keys)
        self._changed.update(self._unsteady)
        for tensor in self._written:
            tensor.version += 1
        n_done = 0
        try:
            self._run_calls(*self._given)
            n_done = int(self._outcome[0])
        finally:
            if n_done < len(self._calls):
                for use, state in changed:
                    if not use.is_written:
                        use.tensor.take_state(state)
        if self._is_watched:
            self._report_delays()
        return self._stop(n_done, changed) if n_done < len(self._calls) else self.end

    def _are_in_place(self) -> bool:
        """Return whether addresses and fixed values are those of the recording."""
        if self._moves != Buffer.moves:
            if any(buffer.address != address for buffer, address in self._addresses):
                return False
            self._moves = Buffer.moves
        return all(use.tensor.version == use.before.version for use in self._fixed)

    def _stop(self, n_done: int, changed: Sequence[tuple[Use, StorageState]]) -> int:
        """Undo changes of states; return the number of the task whose check failed."""
        status = int(self._engine.log.status[0])
        self._engine.log.status[0] = 0
        if not self._calls[n_done].is_check:
            check_onednn(status, "execution")
        first = 0
        for task in self._tasks:
            if n_done < first + len(task.calls):
                break
            first += len(task.calls)
        for use, state in changed:
            use.tensor.take_state(state)
        for use in self._uses:
            if (state_then := task.states.get(id(use.tensor))) is not None:
                use.tensor.take_state(state_then, keeps=not use.is_written)
        return task.number

    def _report_delays(self) -> None:
        _, in_time_s, in_time_alone_s, late_s, late_alone_s = self._outcome.tolist()
        watch = self._engine.watch
        if self._is_in_pause:
            took_s, alone_s = in_time_s + late_s, in_time_alone_s + late_alone_s
            watch.count_call_in_pause(took_s, alone_s, perf_counter())
            return
        if in_time_s:
            watch.count_call(in_time_s, in_time_alone_s)
        if late_s:
            watch.count_wait(late_s, late_alone_s, perf_counter())
