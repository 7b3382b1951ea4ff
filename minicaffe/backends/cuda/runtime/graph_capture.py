"""CUDA graph capture: tasks run eagerly, are captured as graphs, then replayed without Python.

The tasks (a layer's forward pass, its backward pass, an update) run one by one at first. A task in
which only native kernels access tensors can be captured. When two runs in succession agree on which
tasks these are, each uninterrupted sequence of them becomes a `GraphSegment`: its next run is
captured as one CUDA graph, and later runs launch the graph.

A graph is equivalent to its kernels only if the tensors that it reads are in the same state as at
capture: which formats hold the newest values, which tensors are lazily cleared. A segment compares
the states before each launch. If a state differs, or memory was replaced
(`Session.version`), it runs its tasks and captures them again. After a launch it sets the states
that the kernels would have left. Both are necessary only for tensors that something else has
changed since the last launch (`Session.changes`): a net has hundreds, an iteration changes few.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from minicaffe.backends.cuda.driver.device import CannotCapture, DeviceMemory
from minicaffe.backends.cuda.runtime.access_log import AccessLog, TrackedTensor
from minicaffe.backends.cuda.runtime.launch_parameters import Provider, Slot
from minicaffe.backends.cuda.runtime.session import Session
from minicaffe.backends.cuda.runtime.tensor_state import TensorState
from minicaffe.errors import BackendUnavailable
from minicaffe.log import logger
from minicaffe.ops.backend import Task

# A segment that was captured this often without being launched twice in between stays eager.
MAX_FAILURES = 8


class GraphRunner:
    """Runs tasks in order each time it is called, by graph replay where that is possible.

    Parameters
    ----------
    session : Session
    tasks : sequence of callable
    """

    def __init__(self, session: Session, tasks: Sequence[Task]) -> None:
        self._session = session
        self._tasks = tasks
        # The tasks that cannot be captured, and segments of the others; empty until two runs agree.
        self._compiled: list[Task] = []
        self._uses_host: list[bool] = []
        self._tensors: set[TrackedTensor] = set()
        # Until each segment has been captured, or stays eager.
        self._is_settling = True

    def __call__(self) -> None:
        """Run the tasks while holding the session's lock."""
        with self._session.lock:
            # The user's code may run this in a task of another runner.
            self._session.log_host_access()
            if self._compiled:
                for task in self._compiled:
                    task()
                if self._is_settling:
                    self._log_eager_segments()
                return
            uses_host = self._run()
            if uses_host == self._uses_host:
                self._compiled = self._divide()
            self._uses_host = uses_host

    def _run(self) -> list[bool]:
        """Run all tasks eagerly; return which of them cannot be captured."""
        uses_host = []
        for tensor in self._tensors:
            tensor.flush_host_writes()
        for task in self._tasks:
            with self._session.log_accesses() as log:
                task()
            uses_host.append(log.uses_host)
            self._tensors.update(log.uses)
        return uses_host

    def _log_eager_segments(self) -> None:
        """Log once how many segments stay eager, as soon as that is known of all."""
        segments = [task for task in self._compiled if isinstance(task, GraphSegment)]
        if not all(segment.is_captured or segment.stays_eager for segment in segments):
            return
        self._is_settling = False
        eager = [segment for segment in segments if segment.stays_eager]
        if eager:
            logger.info(
                f"{len(eager)} of {len(segments)} pieces are not captured as CUDA graphs and run "
                f"kernel by kernel: {eager[0].reason}"
            )

    def _divide(self) -> list[Task]:
        compiled: list[Task] = []
        tasks: list[Task] = []
        for task, uses_host in zip(self._tasks, self._uses_host, strict=True):
            if not uses_host:
                tasks.append(task)
                continue
            if tasks:
                compiled.append(GraphSegment(self._session, tasks, self._tensors))
                tasks = []
            compiled.append(task)
        if tasks:
            compiled.append(GraphSegment(self._session, tasks, self._tensors))
        return compiled


class GraphSegment:
    """Consecutive tasks that are captured as one graph.

    Parameters
    ----------
    session : Session
    tasks : sequence of callable
    tensors : collection of CudaTensor
        At least all tensors that the tasks use.
    """

    def __init__(
        self, session: Session, tasks: Sequence[Task], tensors: Collection[TrackedTensor]
    ) -> None:
        self._session = session
        self._tasks = list(tasks)
        self._tensors = tensors
        self._graph: CapturedGraph | None = None
        # After the last eager run. If it has changed, tasks may plan, which a capture must not do.
        self._version = session.version
        self._n_launches = 0
        self._failures = 0
        # Of the last failure.
        self.reason = ""

    @property
    def is_captured(self) -> bool:
        """Whether there is a graph."""
        return self._graph is not None

    @property
    def stays_eager(self) -> bool:
        """Whether no more captures are tried."""
        return self._graph is None and self._failures >= MAX_FAILURES

    def __call__(self) -> None:
        """Launch the graph if it is valid; otherwise run the tasks or capture them."""
        if self._graph is None:
            if not self.stays_eager and self._version == self._session.version:
                self._capture()
        elif not self._graph.is_valid():
            self._graph = None
            self._failures = self._failures + 1 if self._n_launches < 2 else 0
            self.reason = "tensors or plans differ in each run"
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
        self._version = self._session.version

    def _capture(self) -> None:
        # Host writes are uploaded now, because uploads cannot be captured.
        for tensor in self._tensors:
            tensor.flush_host_writes()
        try:
            self._graph = CapturedGraph(self._session, self._run)
            self._n_launches = 0
        except BackendUnavailable as error:
            # Also the error of a library that fails only during capture; if it fails in any case,
            # the eager run raises.
            logger.debug(f"{len(self._tasks)} tasks are not captured: {error}")
            self.reason = str(error)
            self._failures += 1


class CapturedGraph:
    """One CUDA graph, with the states of the tensors before and after it.

    Parameters
    ----------
    session : Session
    work : callable
        Captured, not executed.

    Raises
    ------
    CannotCapture
        If the work contains an operation that cannot be captured; all bookkeeping is restored then.
    """

    def __init__(self, session: Session, work: Task) -> None:
        self._session = session
        self._parameters: list[tuple[Slot, Provider]] = []

        def collect() -> None:
            self._parameters = session.launch_parameters.collect(work)

        with session.log_accesses() as log:
            try:
                self._graph = session.device.capture(collect)
                if log.uses_host:
                    raise CannotCapture("values were accessed outside of kernels")
            except BaseException:
                log.undo()
                raise
        self._require_states(log)
        # The graph refers to addresses only, so the memory behind them is kept alive here.
        self._memory: list[DeviceMemory] = session.scratch_memory
        self._is_new = True
        self._version = session.version
        self._position = session.changes.position

    def _require_states(self, log: AccessLog) -> None:
        """Derive the states before and after the graph from the uses of the tensors."""
        # Equal states are interned, so that an unchanged tensor is recognised by identity.
        intern = self._session.states.setdefault
        self._before = _States()
        self._written = _States()
        self._read = _States()
        # Memory whose state after the graph does not allow another launch.
        self._unstable: set[int] = set()
        for tensor, use in log.uses.items():
            after = tensor.state_if_newest()
            if use.is_read:
                self._before.add(tensor, intern(use.state, use.state))
                if after is None or not after.matches(use.state):
                    self._unstable.add(tensor.storage_number)
            if after is None:
                continue
            if tensor.write_token() is not use.token:
                self._written.add(tensor, intern(after, after))
            elif after != use.state:
                self._read.add(tensor, after)

    def is_valid(self) -> bool:
        """Return whether plans and tensor states are as they were at capture."""
        if self._version != self._session.version:
            return False
        changed = self._session.changes.changed_since(self._position)
        if changed is not None:
            changed |= self._unstable
        return all(tensor.matches(state) for tensor, state in self._before.of(changed))

    def launch(self) -> None:
        """Upload the launch parameters, launch the graph, and set the tensor states after it."""
        self._session.launch_parameters.upload(self._parameters)
        self._graph()
        changes = self._session.changes
        if self._is_new:
            # Capture has already left the bookkeeping that running would have left.
            self._is_new = False
        else:
            changed = changes.changed_since(self._position)
            for tensor, state in self._written.of(changed):
                tensor.set_state(state)
            for tensor, state in self._read.of(changed):
                tensor.add_formats(state.formats)
        self._position = changes.position


class _States:
    """States of tensors, by the number of their storage."""

    def __init__(self) -> None:
        self._by_number: dict[int, list[tuple[TrackedTensor, TensorState]]] = {}

    def add(self, tensor: TrackedTensor, state: TensorState) -> None:
        """Add the state of a tensor."""
        self._by_number.setdefault(tensor.storage_number, []).append((tensor, state))

    def of(self, numbers: set[int] | None) -> Iterator[tuple[TrackedTensor, TensorState]]:
        """Yield the tensors over these storages with their states; None: all of them."""
        found = self._by_number.keys() if numbers is None else numbers & self._by_number.keys()
        for number in found:
            yield from self._by_number[number]
