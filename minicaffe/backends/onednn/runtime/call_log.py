"""Log of the native calls of a task and of the tensors that it uses.

A task can be replayed by repeating its native calls if nothing but these reads or writes values.
The log therefore compares two lists: the addresses of values that tensors have handed out, and
those that recorded calls have received. A task that got an address which no recorded call received
cannot be replayed, nor one that got an array for NumPy.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np

from minicaffe.backends.onednn.runtime.memory import Buffer, Layout


class StorageState(NamedTuple):
    """Everything about a tensor that decides which native calls a kernel makes.

    Parameters
    ----------
    shape : tuple of int
    newest : Layout
        The layout that was written last.
    ready : dict
        The memories that hold the newest values, by layout.
    is_plain_ready, is_zero, is_pinned, is_in_sum : bool
    plain : Buffer or None
        The buffer in C order.
    packed : dict
        The buffers in other layouts.
    version : int
    """

    shape: tuple[int, ...]
    newest: Layout
    ready: dict[Layout, int]
    is_plain_ready: bool
    is_zero: bool
    is_pinned: bool
    is_in_sum: bool
    plain: Buffer | None
    packed: dict[Layout, Buffer]
    version: int

    def can_repeat(self, before: StorageState, after: StorageState) -> bool:
        """Return whether calls that led from `before` to `after` compute the same in this state.

        More memories may hold the newest values than before the recording: then a conversion is
        repeated, with the same result.
        """
        same_kind = self.newest is before.newest and self.shape == before.shape
        if not same_kind or self.is_zero != before.is_zero or self.is_pinned != before.is_pinned:
            return False
        if self.is_in_sum or before.is_in_sum or before.is_plain_ready > self.is_plain_ready:
            return False
        has_plain = after.plain is None or self.plain is after.plain
        return has_plain and _holds(self.ready, before.ready) and _holds(self.packed, after.packed)


class Observer(NamedTuple):
    """A set to which a tensor adds a key when its state changes."""

    changed: set[int]
    key: int


class LoggedTensor(Protocol):
    """The part of a tensor that recording and repeating calls use."""

    version: int

    def state(self) -> StorageState:
        """Return what decides which native calls a kernel makes."""

    def take_state(self, state: StorageState, keeps: bool = False) -> None:
        """Take the state that repeated calls leave."""

    def add_observer(self, observer: Observer) -> None:
        """Add the observer's key to its set before each change of the state, from now on."""

    def stop_observing(self, changed: set[int]) -> None:
        """Forget the observers with this set."""


class NativeCall(NamedTuple):
    """A call of an exported C function.

    Parameters
    ----------
    function : str
    arguments : tuple
    operands : tuple of int
        Addresses of tensors' values that it receives; those among the arguments need no mention.
    owners : tuple
        Objects whose memory it uses, besides that of kernels and tensors.
    limit_s, alone_s : float
        The time beyond which it has waited for a core, and that on one undisturbed thread; 0 if
        they are not watched.
    is_copy : bool
        Whether it only converts values to another layout.
    is_check : bool
        Whether it only looks at values, and the task would compute otherwise if they were others.
    """

    function: str
    arguments: tuple[float | None, ...]
    operands: tuple[int, ...] = ()
    owners: tuple[object, ...] = ()
    limit_s: float = 0.0
    alone_s: float = 0.0
    is_copy: bool = False
    is_check: bool = False


class TaskRecord:
    """The native calls of one task, and the tensors that it uses.

    Attributes
    ----------
    calls : list of NativeCall
    before : dict
        Each tensor with its state before its first use, by its id.
    fixed : set of int
        The ids of tensors from whose values a kernel has computed something that it keeps.
    uses_host : bool
        Whether something else than native calls reads or writes values.
    """

    def __init__(self) -> None:
        self.calls: list[NativeCall] = []
        self.before: dict[int, tuple[LoggedTensor, StorageState]] = {}
        self.fixed: set[int] = set()
        self.uses_host = False
        self._handed_out = Counter[float | None]()

    def touch(self, tensor: LoggedTensor) -> None:
        """Note the state of a tensor that is used or changed next."""
        if id(tensor) not in self.before:
            self.before[id(tensor)] = tensor, tensor.state()

    def hand_out(self, tensor: LoggedTensor, address: int) -> None:
        """Note that a kernel gets the address of a tensor's values."""
        self.touch(tensor)
        self._handed_out[address] += 1

    def add(self, call: NativeCall) -> None:
        """Add a call, and what it receives."""
        if call.is_check and not all(c.is_copy or c.is_check for c in self.calls):
            self.uses_host = True  # the task could not begin again if the check failed
        self.calls.append(call)
        for address in (*call.arguments, *call.operands):
            if self._handed_out[address]:
                self._handed_out[address] -= 1

    @property
    def can_be_replayed(self) -> bool:
        """Whether recorded calls alone use the values of tensors."""
        return not self.uses_host and not any(self._handed_out.values())


class CallLog:
    """The log of one engine, off unless a task is recorded.

    Attributes
    ----------
    is_on : bool
        Whether a thread records a task. Tensors and calls look at it before they call a method.
    status : int64 array (1,)
        What calls that can fail or check write; 0 otherwise.
    status_at : int
        Its address.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.status = np.zeros(1, np.int64)
        self.status_at = int(self.status.ctypes.data)
        self._lock, self._thread = threading.Lock(), 0
        self._task = TaskRecord()

    @contextmanager
    def recorded_run(self) -> Iterator[bool]:
        """Record what this thread does; yields False if another one records."""
        if not self._lock.acquire(blocking=False):
            yield False
            return
        try:
            self._thread = threading.get_ident()
            yield True
        finally:
            self._thread, self._task = 0, TaskRecord()
            self._lock.release()

    @contextmanager
    def recorded_task(self) -> Iterator[TaskRecord]:
        """Record a task within `recorded_run`."""
        self._task = TaskRecord()
        self.is_on = True
        try:
            yield self._task
        finally:
            self.is_on = False

    def touch(self, tensor: LoggedTensor) -> None:
        """Note the state of a tensor that is used or changed next."""
        if self._is_here:
            self._task.touch(tensor)

    def hand_out(self, tensor: LoggedTensor, address: int) -> None:
        """Note that a kernel gets the address of a tensor's values."""
        if self._is_here:
            self._task.hand_out(tensor, address)

    def use_on_host(self, tensor: LoggedTensor) -> None:
        """Note that values are used, or changed, by other means than native calls."""
        if self._is_here:
            self._task.touch(tensor)
            self._task.uses_host = True

    def fix(self, tensor: LoggedTensor) -> None:
        """Note that a kernel's calls are valid for the present values of a tensor only."""
        if self._is_here:
            self._task.touch(tensor)
            self._task.fixed.add(id(tensor))

    def add(self, call: NativeCall) -> None:
        """Note a native call."""
        if self._is_here:
            self._task.add(call)

    @property
    def _is_here(self) -> bool:
        return threading.get_ident() == self._thread


def _holds(found: Mapping[Layout, object], wanted: Mapping[Layout, object]) -> bool:
    return all(found.get(key) == value for key, value in wanted.items())
