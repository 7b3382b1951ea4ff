"""The reference backend itself: tensors, the table of kernels, planning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
import threadpoolctl

from minicaffe.backends.reference.tensor import ArrayTensor
from minicaffe.cores import usable_cores
from minicaffe.errors import BackendUnavailable, Unsupported
from minicaffe.log import logger
from minicaffe.ops.backend import EpilogueOp, Op, Shape, Tensor

KernelType = TypeVar("KernelType", bound="type[ReferenceKernel]")


# That decode pictures where nobody says how many threads there shall be.
MOST_DATA_THREADS = 4


class ReferenceKernel:
    """Base of the reference kernels: holds the op and the array module.

    A subclass may do once per shape what needs doing once, in ``__init__``.
    """

    def __init__(self, backend: ReferenceBackend, op: Any, *tensors: Tensor) -> None:
        self.backend = backend
        self.op = op
        self.xp: Any = backend.xp


class ReferenceBackend:
    """NumPy, in float32 or (for tests) float64."""

    name = "reference"
    # One table per class; planning looks through them from the most derived class to this one.
    kernels: ClassVar[dict[type[Op[Any]], type[ReferenceKernel]]] = {}
    # Ops that a faster backend inherits on purpose: not logged, and allowed under ``strict``.
    inherited: ClassVar[frozenset[type[Op[Any]]]] = frozenset()
    # What --precision may ask for; the first is the default.
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)

    def __init__(
        self,
        dtype: npt.DTypeLike = np.float32,
        strict: bool = False,
        threads: int | None = None,
        precision: str | None = None,
    ) -> None:
        if precision not in (None, *self.precisions):
            raise BackendUnavailable(
                f"the {self.name} backend cannot compute in {precision}; it can in "
                f"{' and '.join(self.precisions)}. Choose that with --precision, or in Python "
                "with caffe.set_precision."
            )
        self.dtype = np.dtype(dtype)
        self.strict = strict
        if threads:
            threadpoolctl.threadpool_limits(threads, user_api="blas")
        self._data_threads = threads or min(MOST_DATA_THREADS, usable_cores())
        self._told: set[str] = set()

    @property
    def description(self) -> str:
        """What computes, for the log."""
        return f"the {self.name} backend: NumPy {np.__version__}"

    @property
    def data_threads(self) -> int:
        """How many threads may decode pictures; computing wants the cores too."""
        return self._data_threads

    @property
    def xp(self) -> ModuleType:
        """The array module of the tensors."""
        return np

    def tensor(self, shape: Shape) -> Tensor:
        """Return a new tensor, filled with zeros."""
        return ArrayTensor(self.xp, shape, self.dtype)

    def gradient(self, shape: Shape) -> Tensor:
        """Return a new tensor, filled with zeros."""
        return self.tensor(shape)

    def state(self) -> dict[str, Any]:
        """Return nothing: all that is kept is in the tensors."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Do nothing, as there is nothing to restore."""

    def plan(self, op: Op[Any], *tensors: Tensor) -> Any:
        """Return the kernel of the most derived backend class that has one for `op`.

        Raises
        ------
        Unsupported
            If no class has one, or only the reference has one and ``strict`` is set and it is not
            `inherited` on purpose.
        """
        is_refused = type(op) in self.inherited
        for cls in type(self).__mro__:
            kernel = vars(cls).get("kernels", {}).get(type(op))
            if kernel is None:
                continue
            if cls is ReferenceBackend and not is_refused:
                self._fall_back(f"backend {self.name} has no kernel for {type(op).__name__}")
            try:
                return kernel(self, op, *tensors)
            except Unsupported as reason:
                is_refused = True
                self._fall_back(str(reason))
        shapes = ", ".join(str(t.shape) for t in tensors)
        raise Unsupported(f"backend {self.name} has no kernel for {op} on {shapes}")

    def _fall_back(self, reason: str) -> None:
        if type(self) is ReferenceBackend:
            return
        if self.strict:
            raise Unsupported(f"{reason} (--strict-backend refuses the slower kernel)")
        if reason not in self._told:
            self._told.add(reason)
            logger.info(f"{reason}; using the reference kernel")

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Nothing: kernels have their memory to themselves."""
        return nullcontext()

    def fuse(self, kernel: Any, epilogue: Sequence[EpilogueOp]) -> int:
        """Return 0: separate passes are as fast here."""
        return 0

    def compile(self, work: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """Return a function that calls the pieces of work one after another."""
        pieces = tuple(work)

        def run() -> None:
            for piece in pieces:
                piece()

        return run

    def free_bytes(self) -> int | None:
        """Return None: tensors lie in the host's memory."""
        return None

    def missing_bytes(self, tensors: Sequence[Tensor], are_activations: bool) -> int:
        """Return 0: no device's memory is taken."""
        return 0

    def synchronize(self) -> None:
        """Return at once: NumPy has computed everything already."""


def kernel(*ops: type[Op[Any]]) -> Callable[[KernelType], KernelType]:
    """Register the decorated class as the reference kernel of each of `ops`."""

    def register(cls: KernelType) -> KernelType:
        ReferenceBackend.kernels.update(dict.fromkeys(ops, cls))
        return cls

    return register
