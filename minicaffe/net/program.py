"""Programs: sequences of tasks that the backend compiles once and runs many times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVarTuple, Unpack
from weakref import WeakMethod, WeakSet

from minicaffe.ops.backend import Backend, NetChanges, Task

Arguments = TypeVarTuple("Arguments")


class Program(Generic[*Arguments]):
    """A sequence of tasks, compiled when it first runs and when it runs after `invalidate`.

    Parameters
    ----------
    backend : Backend
        Compiles the tasks.
    make_tasks : bound method
        Returns the tasks for the arguments of a run, which are hashable. The program holds the
        method's object weakly, because that object owns the program. The tasks must not refer to
        that object either; otherwise it would be freed by the garbage collector only.
    changes : NetChanges, optional
        As for `Backend.compile`.
    """

    def __init__(
        self,
        backend: Backend,
        make_tasks: Callable[[Unpack[Arguments]], Sequence[Task]],
        changes: NetChanges | None = None,
    ) -> None:
        self._backend, self._make_tasks = backend, WeakMethod(make_tasks)
        self._changes = changes
        self._compiled: dict[tuple[*Arguments], Task] = {}

    def __call__(self, *arguments: *Arguments) -> None:
        """Run the tasks for these arguments."""
        compiled = self._compiled.get(arguments)
        if compiled is None:
            make_tasks = self._make_tasks()
            if make_tasks is None:
                raise RuntimeError("the owner of this program no longer exists")
            compiled = self._backend.compile(make_tasks(*arguments), self._changes)
            self._compiled[arguments] = compiled
        compiled()

    def invalidate(self) -> None:
        """Discard the compiled form, because the tasks have changed."""
        self._compiled.clear()


class Programs:
    """All programs with tasks of one net, for invalidation together.

    Parameters
    ----------
    backend : Backend
        Compiles the tasks.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # The arguments of a program do not matter here.
        self._programs: WeakSet[Program[*tuple[Any, ...]]] = WeakSet()

    def create(
        self,
        make_tasks: Callable[[Unpack[Arguments]], Sequence[Task]],
        changes: NetChanges | None = None,
    ) -> Program[*Arguments]:
        """Return a new program; see `Program`."""
        program = Program(self._backend, make_tasks, changes)
        self._programs.add(program)
        return program

    def invalidate(self) -> None:
        """Invalidate every program, because tasks of the net have changed."""
        for program in self._programs:
            program.invalidate()
