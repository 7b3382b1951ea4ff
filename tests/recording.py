"""A backend that repeats work as one on a device does: it replays kernels, and answers late.

What it replays are the calls of kernels, so that the Python of layers and nets does not run; values
that are read later are there after some more reads. It computes with the reference's kernels, so
that results must be the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.backends.reference.tensor import ArrayTensor

# How often work runs before it is recorded.
RUNS_FIRST = 2


class RecordedFuture:
    """Values that are ready once the backend has been asked for some more."""

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
    """Says so when it is used outside of kernels, or changes its shape."""

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
    """A kernel whose calls are noted."""

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
        How many reads later values are there.
    called : list
        The pieces of work that were called, in order; not those that were replayed.
    replayed : int
        How many pieces were replayed.
    waits : int
        How many reads had to wait.
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
        """Call a kernel; note the call unless another kernel makes it."""
        if not self._depth:
            self._calls.append(lambda: method(*args))
        self._depth += 1
        try:
            return method(*args)
        finally:
            self._depth -= 1

    def forget(self) -> None:
        """Drop what was noted, which refers to the nets that ran."""
        self.called.clear()
        self._calls.clear()

    def compile(self, work: Any) -> Callable[[], None]:
        return _Work(self, list(work)).run


class _Work:
    """Pieces of work, with what was recorded of them."""

    def __init__(self, backend: RecordingBackend, pieces: list[Callable[[], None]]) -> None:
        self.backend, self.pieces = backend, pieces
        self.runs, self.version = 0, -1
        self.recorded: list[list[Callable[[], None]] | None] = []

    def run(self) -> None:
        backend = self.backend
        if self.version != backend.version:
            self.runs, self.version = 0, backend.version
        self.runs += 1
        recorded: list[list[Callable[[], None]] | None] = []
        for k, piece in enumerate(self.pieces):
            calls = None
            if self.runs > RUNS_FIRST and self.version == backend.version:
                calls = self.recorded[k]
            if calls is not None:
                backend.replayed += 1
                for call in calls:
                    call()
            else:
                calls = self._call(piece)
            recorded.append(calls)
        self.recorded = recorded

    def _call(self, piece: Callable[[], None]) -> list[Callable[[], None]] | None:
        """Call a piece; return its kernel calls, or None if it must be called every time."""
        backend = self.backend
        backend._calls, backend._is_touched = [], False
        backend.called.append(piece)
        piece()
        return None if backend._is_touched else backend._calls
