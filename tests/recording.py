"""A backend that imitates graph capture and asynchronous copies with the reference kernels.

It captures the calls of kernels and replays them, so that the Python code of layers and nets does
not run. A future is done after some further reads. Results are bit-identical to the reference's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.backends.reference.tensor import ArrayTensor

# How often tasks run before they are replayed.
RUNS_FIRST = 2


class RecordedFuture:
    """A future that is done after some further reads of the backend."""

    def __init__(self, backend: RecordingBackend, values: Any) -> None:
        self.backend, self.values = backend, values
        self.due = backend.n_reads + backend.delay

    @property
    def is_done(self) -> bool:
        return self.backend.n_reads >= self.due

    def result(self) -> Any:
        self.backend.waits += not self.is_done
        return self.values


class RecordingTensor(ArrayTensor):
    """Reports accesses outside of kernels, and new shapes, to the backend."""

    backend: RecordingBackend

    def get(self) -> Any:
        self.backend.touch()
        return super().get()

    def set(self, values: Any) -> None:
        self.backend.touch()
        super().set(values)

    def host(self) -> Any:
        self.backend.touch()
        return super().host()

    def get_async(self) -> RecordedFuture:
        values = self.get()
        self.backend.n_reads += 1
        return RecordedFuture(self.backend, values)

    def clear(self) -> None:
        self.backend.call(super().clear)

    def reshape(self, shape: Any) -> None:
        self.backend.version += shape != self.shape
        super().reshape(shape)


class RecordedKernel:
    """A kernel whose calls are captured."""

    def __init__(self, backend: RecordingBackend, kernel: Any) -> None:
        self._backend, self._kernel = backend, kernel

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._kernel, name)

        @wraps(method)
        def call(*args: Any) -> Any:
            return self._backend.call(method, *args)

        return call


class RecordingBackend(ReferenceBackend):
    """The reference backend as if its kernels ran on a device.

    Attributes
    ----------
    delay : int
        After how many further reads a future is done.
    called : list
        The tasks that were called, in order; not those that were replayed.
    replayed : int
        Number of tasks that were replayed.
    waits : int
        Number of futures that were read before they were done.
    """

    name = "recording"
    kernels: dict[Any, Any] = {}

    def __init__(self, delay: int = 3) -> None:
        super().__init__()
        self.delay, self.n_reads, self.waits = delay, 0, 0
        # Grows with every plan and every new shape.
        self.version = 0
        self.called: list[Callable[[], None]] = []
        self.replayed = 0
        self._calls: list[Callable[[], None]] = []
        self._is_touched = False
        self._depth = 0

    def tensor(self, shape: Any) -> RecordingTensor:
        tensor = RecordingTensor(self.xp, shape, self.dtype)
        tensor.backend = self
        return tensor

    def plan(self, op: Any, *tensors: Any) -> RecordedKernel:
        self.version += 1
        return RecordedKernel(self, super().plan(op, *tensors))

    def touch(self) -> None:
        self._is_touched = self._is_touched or not self._depth

    def call(self, method: Callable[..., Any], *args: Any) -> Any:
        """Call a kernel; capture the call unless another kernel makes it."""
        if not self._depth:
            self._calls.append(lambda: method(*args))
        self._depth += 1
        try:
            return method(*args)
        finally:
            self._depth -= 1

    def forget(self) -> None:
        """Drop the tasks and calls, which refer to the nets that ran."""
        self.called.clear()
        self._calls.clear()

    def compile(self, tasks: Any, changes: Any = None) -> Callable[[], None]:
        return _CapturedTasks(self, list(tasks)).run


class _CapturedTasks:
    """Tasks with the kernel calls that were captured from each."""

    def __init__(self, backend: RecordingBackend, tasks: list[Callable[[], None]]) -> None:
        self.backend, self.tasks = backend, tasks
        self.runs, self.version = 0, -1
        self.captured: list[list[Callable[[], None]] | None] = []

    def run(self) -> None:
        backend = self.backend
        if self.version != backend.version:
            self.runs, self.version = 0, backend.version
        self.runs += 1
        captured: list[list[Callable[[], None]] | None] = []
        for k, task in enumerate(self.tasks):
            calls = None
            if self.runs > RUNS_FIRST and self.version == backend.version:
                calls = self.captured[k]
            if calls is not None:
                backend.replayed += 1
                for call in calls:
                    call()
            else:
                calls = self._call(task)
            captured.append(calls)
        self.captured = captured

    def _call(self, task: Callable[[], None]) -> list[Callable[[], None]] | None:
        """Call a task; return its kernel calls, or None if it cannot be replayed."""
        backend = self.backend
        backend._calls, backend._is_touched = [], False
        backend.called.append(task)
        task()
        return None if backend._is_touched else backend._calls
