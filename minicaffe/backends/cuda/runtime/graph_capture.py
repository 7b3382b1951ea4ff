"""Work that is done again and again: run, then recorded, then repeated without Python.

The tasks of such work (a layer's forward pass, its backward pass, an update) are run one by one at
first. A task in which only native kernels touch tensors can be recorded. When two runs in a row
agree about which tasks these are, each uninterrupted sequence of them becomes a segment: its next
run is recorded as one CUDA graph, and from then on the graph is launched instead.

A graph does what the kernels would do only if it begins with the tensors that it reads in the
state in which they were when it was recorded: which formats hold the newest values, what has been
cleared. A segment looks before each launch, and where something else is found it runs its tasks,
and records them anew; so it does if memory was exchanged (`Session.version`). After a launch it
notes the states that the kernels would have left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from minicaffe.backends.cuda.driver.device import CannotCapture, DeviceMemory
from minicaffe.backends.cuda.runtime.launch_parameters import Provider, Slot
from minicaffe.backends.cuda.runtime.session import AccessLog, Session
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.backends.cuda.runtime.tensor_state import TensorState
from minicaffe.errors import BackendUnavailable
from minicaffe.log import logger

Task: TypeAlias = Callable[[], None]

# A segment that had to be recorded so often in a row, without being launched twice, is left alone.
MAX_FAILURES = 8


class GraphRunner:
    """Pieces of work in order; call it to have them done.

    Parameters
    ----------
    session : Session
    tasks : sequence of callable
    """

    def __init__(self, session: Session, tasks: Sequence[Task]) -> None:
        self._session = session
        self._tasks = tasks
        self._parts: list[Task] = []
        self._outside: list[bool] = []
        self._seen: set[CudaTensor] = set()

    def __call__(self) -> None:
        """Do the work, with no other thread's in between."""
        with self._session.lock:
            if self._parts:
                for part in self._parts:
                    part()
                return
            outside = self._run()
            if outside == self._outside:
                self._parts = self._divide()
            self._outside = outside

    def _run(self) -> list[bool]:
        """Run all tasks; return which of them cannot be recorded."""
        outside = []
        for tensor in self._seen:
            tensor.flush_host_writes()
        for task in self._tasks:
            log = self._session.access_log = AccessLog()
            task()
            outside.append(log.uses_host)
            self._seen.update(log.uses)
        return outside

    def _divide(self) -> list[Task]:
        parts: list[Task] = []
        tasks: list[Task] = []
        for task, uses_host in zip(self._tasks, self._outside, strict=True):
            if not uses_host:
                tasks.append(task)
                continue
            if tasks:
                parts.append(GraphSegment(self._session, tasks, self._seen))
                tasks = []
            parts.append(task)
        if tasks:
            parts.append(GraphSegment(self._session, tasks, self._seen))
        return parts


class GraphSegment:
    """Pieces that are recorded together.

    Parameters
    ----------
    session : Session
    tasks : sequence of callable
    tensors : collection of CudaTensor
        All that the tasks use, perhaps more.
    """

    def __init__(
        self, session: Session, tasks: Sequence[Task], tensors: Collection[CudaTensor]
    ) -> None:
        self._session = session
        self._tasks = list(tasks)
        self._tensors = tensors
        self._graph: CapturedGraph | None = None
        self._n_launches = 0
        self._failures = 0

    def __call__(self) -> None:
        """Do the work, by launching the recording where that is possible."""
        if self._graph is None and self._failures < MAX_FAILURES:
            self._record()
        elif self._graph is not None and not self._graph.is_valid():
            self._graph = None
            self._failures = self._failures + 1 if self._n_launches < 2 else 0
            self._run()
            return
        if self._graph is None:
            self._run()
            return
        self._graph.launch()
        self._n_launches += 1

    def _run(self) -> None:
        for task in self._tasks:
            task()

    def _record(self) -> None:
        # What the host has written cannot be uploaded while recording.
        for tensor in self._tensors:
            tensor.flush_host_writes()
        try:
            self._graph = CapturedGraph(self._session, self._run)
            self._n_launches = 0
        except BackendUnavailable as error:
            # Also a library's that works only while nothing is recorded: running will tell.
            logger.debug(f"{len(self._tasks)} tasks of work are not recorded: {error}")
            self._failures += 1


class CapturedGraph:
    """One graph, with the states of the tensors before and after it.

    Parameters
    ----------
    session : Session
    work : callable
        What is recorded; not done yet.

    Raises
    ------
    CannotCapture
        If the work asks for something that cannot be recorded; everything is as before then.
    """

    def __init__(self, session: Session, work: Task) -> None:
        self._session = session
        self._given: list[tuple[Slot, Provider]] = []
        log = session.access_log = AccessLog()

        def collect() -> None:
            self._given = session.launch_parameters.collect(work)

        try:
            self._graph = session.device.capture(collect)
            if log.uses_host:
                raise CannotCapture("values were read outside the kernels")
        except BaseException:
            log.undo()
            raise
        # Equal states are one object, by which a tensor that has not changed is soon recognised.
        one = session.states.setdefault
        self._before = [
            (tensor, one(seen.state, seen.state))
            for tensor, seen in log.uses.items()
            if seen.is_read
        ]
        self._written: list[tuple[CudaTensor, TensorState]] = []
        self._read: list[tuple[CudaTensor, TensorState]] = []
        for tensor, seen in log.uses.items():
            after = tensor.state_if_newest()
            if after is None:
                continue
            if tensor.write_token() is not seen.token:
                self._written.append((tensor, one(after, after)))
            elif after != seen.state:
                self._read.append((tensor, after))
        # The graph knows addresses only: what it uses must not be given back.
        self._held: list[DeviceMemory] = session.scratch_memory
        self._is_new = True
        self._version = session.version

    def is_valid(self) -> bool:
        """Return whether plans and tensors are as they were when this was recorded."""
        return self._version == self._session.version and all(
            tensor.matches(state) for tensor, state in self._before
        )

    def launch(self) -> None:
        """Have the device do it, and note what that changes."""
        self._session.launch_parameters.upload(self._given)
        self._graph()
        if self._is_new:
            # CapturedGraph has left the notes that running would have left.
            self._is_new = False
            return
        for tensor, state in self._written:
            tensor.set_state(state)
        for tensor, state in self._read:
            tensor.add_formats(state.formats)
