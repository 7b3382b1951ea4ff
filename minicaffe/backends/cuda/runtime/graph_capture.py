"""Work that is done again and again: run, then recorded, then repeated without Python.

The pieces of such work (a layer's forward pass, its backward pass, an update) are run one by one at
first. A piece in which only native kernels touch tensors can be recorded. When two runs in a row
agree about which pieces these are, each uninterrupted sequence of them becomes a segment: its next
run is recorded as one CUDA graph, and from then on the graph is launched instead.

A graph does what the kernels would do only if it begins with the tensors that it reads in the
state in which they were when it was recorded: which formats hold the newest values, what has been
cleared. A segment looks before each launch, and where something else is found it runs its pieces,
and records them anew; so it does if memory was exchanged (`Session.version`). After a launch it
notes the states that the kernels would have left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from minicaffe.backends.cuda.driver.device import CannotRecord, Memory
from minicaffe.backends.cuda.runtime.launch_parameters import Provider, Slot
from minicaffe.backends.cuda.runtime.session import Session, Watch
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.backends.cuda.runtime.tensor_state import State
from minicaffe.errors import BackendUnavailable
from minicaffe.log import logger

Piece: TypeAlias = Callable[[], None]

# A segment that had to be recorded so often in a row, without being launched twice, is left alone.
MAX_FAILURES = 8


class GraphRunner:
    """Pieces of work in order; call it to have them done.

    Parameters
    ----------
    session : Session
    pieces : sequence of callable
    """

    def __init__(self, session: Session, pieces: Sequence[Piece]) -> None:
        self._session = session
        self._pieces = pieces
        self._parts: list[Piece] = []
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
        """Run all pieces; return which of them cannot be recorded."""
        outside = []
        for tensor in self._seen:
            tensor.settle()
        for piece in self._pieces:
            watch = self._session.watch = Watch()
            piece()
            outside.append(watch.is_outside)
            self._seen.update(watch.seen)
        return outside

    def _divide(self) -> list[Piece]:
        parts: list[Piece] = []
        pieces: list[Piece] = []
        for piece, is_outside in zip(self._pieces, self._outside, strict=True):
            if not is_outside:
                pieces.append(piece)
                continue
            if pieces:
                parts.append(Segment(self._session, pieces, self._seen))
                pieces = []
            parts.append(piece)
        if pieces:
            parts.append(Segment(self._session, pieces, self._seen))
        return parts


class Segment:
    """Pieces that are recorded together.

    Parameters
    ----------
    session : Session
    pieces : sequence of callable
    tensors : collection of CudaTensor
        All that the pieces use, perhaps more.
    """

    def __init__(
        self, session: Session, pieces: Sequence[Piece], tensors: Collection[CudaTensor]
    ) -> None:
        self._session = session
        self._pieces = list(pieces)
        self._tensors = tensors
        self._recording: Recording | None = None
        self._n_launches = 0
        self._failures = 0

    def __call__(self) -> None:
        """Do the work, by launching the recording where that is possible."""
        if self._recording is None and self._failures < MAX_FAILURES:
            self._record()
        elif self._recording is not None and not self._recording.fits():
            self._recording = None
            self._failures = self._failures + 1 if self._n_launches < 2 else 0
            self._run()
            return
        if self._recording is None:
            self._run()
            return
        self._recording.launch()
        self._n_launches += 1

    def _run(self) -> None:
        for piece in self._pieces:
            piece()

    def _record(self) -> None:
        # What the host has written cannot be uploaded while recording.
        for tensor in self._tensors:
            tensor.settle()
        try:
            self._recording = Recording(self._session, self._run)
            self._n_launches = 0
        except BackendUnavailable as error:
            # Also a library's that works only while nothing is recorded: running will tell.
            logger.debug(f"{len(self._pieces)} pieces of work are not recorded: {error}")
            self._failures += 1


class Recording:
    """One graph, with the states of the tensors before and after it.

    Parameters
    ----------
    session : Session
    work : callable
        What is recorded; not done yet.

    Raises
    ------
    CannotRecord
        If the work asks for something that cannot be recorded; everything is as before then.
    """

    def __init__(self, session: Session, work: Piece) -> None:
        self._session = session
        self._given: list[tuple[Slot, Provider]] = []
        watch = session.watch = Watch()

        def collect() -> None:
            self._given = session.values.collect(work)

        try:
            self._graph = session.device.record(collect)
            if watch.is_outside:
                raise CannotRecord("values were read outside the kernels")
        except BaseException:
            watch.undo()
            raise
        # Equal states are one object, by which a tensor that has not changed is soon recognised.
        one = session.states.setdefault
        self._before = [
            (tensor, one(seen.state, seen.state))
            for tensor, seen in watch.seen.items()
            if seen.is_read
        ]
        self._written: list[tuple[CudaTensor, State]] = []
        self._read: list[tuple[CudaTensor, State]] = []
        for tensor, seen in watch.seen.items():
            after = tensor.state_if_newest()
            if after is None:
                continue
            if tensor.mark() is not seen.mark:
                self._written.append((tensor, one(after, after)))
            elif after != seen.state:
                self._read.append((tensor, after))
        # The graph knows addresses only: what it uses must not be given back.
        self._held: list[Memory] = session.held
        self._is_new = True
        self._version = session.version

    def fits(self) -> bool:
        """Return whether plans and tensors are as they were when this was recorded."""
        return self._version == self._session.version and all(
            tensor.serves(state) for tensor, state in self._before
        )

    def launch(self) -> None:
        """Have the device do it, and note what that changes."""
        self._session.values.upload(self._given)
        self._graph()
        if self._is_new:
            # Recording has left the notes that running would have left.
            self._is_new = False
            return
        for tensor, state in self._written:
            tensor.become(state)
        for tensor, state in self._read:
            tensor.gain(state.formats)
