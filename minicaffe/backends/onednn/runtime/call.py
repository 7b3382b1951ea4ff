"""Calls of a primitive on tensors: finds each tensor's memory in the required layout, and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from minicaffe.backends.onednn.runtime.brief_run import BriefRun, SingleThreadedForm
from minicaffe.backends.onednn.runtime.library import check_onednn
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor

# An argument number (`Arg`), and the layout that its tensor must have.
Port: TypeAlias = tuple[int, Layout]


class Call:
    """A primitive that takes tensors: those to read, then those to overwrite, as the ports say.

    The argument array built for one set of memories is cached, so that a call costs microseconds.

    Parameters
    ----------
    primitive : Primitive
    reads, writes : sequence of Port
        The argument and layout of each tensor.
    """

    def __init__(self, primitive: Primitive, reads: Sequence[Port], writes: Sequence[Port]) -> None:
        self.primitive, self._log = primitive, primitive.engine.log
        self._arguments = tuple(arg for arg, _ in (*reads, *writes))
        self._sources = tuple(layout for _, layout in reads)
        self._targets = tuple(layout for _, layout in writes)
        self._n_reads = len(reads)
        self._bound: dict[tuple[int, ...], Callable[[], int]] = {}
        self._single_threaded = SingleThreadedForm(primitive, (*reads, *writes))

    def __call__(self, *tensors: OneDnnTensor) -> None:
        """Run on these tensors."""
        written = tensors[self._n_reads :]
        # map() takes less time than a comprehension, which calls a function of its own.
        memories = (
            *map(OneDnnTensor.source, tensors, self._sources),
            *map(OneDnnTensor.target, written, self._targets),
        )
        run = self._bound.get(memories)
        if run is None:
            run = self._bound[memories] = self._bind(memories)
        status = run()
        if status:
            check_onednn(status, "execution")
        if self._log.is_on:
            if isinstance(run, BriefRun):
                self._log.add(run.recorded())
            else:
                self._log.add(self.primitive.recorded(self._arguments, memories))
        for tensor in written:
            if tensor.is_pinned:
                tensor.write_back()

    def _bind(self, memories: tuple[int, ...]) -> Callable[[], int]:
        if self.primitive.is_brief:
            form = self._single_threaded
            return BriefRun(self.primitive, form, self._arguments, memories)
        return self.primitive.bind(self._arguments, memories)
