"""The reference backend: creation of tensors, the table of kernels, planning with fallback."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from minicaffe.backends.blas_limit import BlasLimit
from minicaffe.backends.reference.tensor import ArrayTensor
from minicaffe.cores import usable_cores
from minicaffe.errors import BackendUnavailable, Unsupported
from minicaffe.log import logger
from minicaffe.ops.backend import EpilogueOp, K, NetChanges, Op, Placement, Shape, Task, Tensor

# Any: kernels of different ops have no common type.
KernelType = TypeVar("KernelType", bound="type[ReferenceKernel[Any]]")
OpT = TypeVar("OpT", bound=Op[Any])

# Threads that decode images, unless the user sets a number.
DEFAULT_DATA_THREADS = 4


class ReferenceKernel(Generic[OpT]):
    """Base of the reference kernels: holds the op and the array module.

    A subclass computes in ``__init__`` what depends on the shapes only.
    """

    def __init__(self, backend: ReferenceBackend, op: OpT, *tensors: Tensor) -> None:
        self.backend = backend
        self.op = op
        self.xp: Any = backend.xp  # Any: an array module


class ReferenceBackend:
    """NumPy, in float32 or (for tests) float64."""

    name = "reference"
    # One table per class; planning searches them from the most derived class to this one.
    kernels: ClassVar[dict[type[Op[Any]], type[ReferenceKernel[Any]]]] = {}
    # Ops that a faster backend inherits on purpose: not logged, and allowed under ``strict``.
    inherited: ClassVar[frozenset[type[Op[Any]]]] = frozenset()
    # Values of --precision; the first is the default.
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    defers_sums = False

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
        # Held while the backend computes.
        self.blas_limit: AbstractContextManager[object] = (
            BlasLimit(threads) if threads else nullcontext()
        )
        self._data_threads = threads or min(DEFAULT_DATA_THREADS, usable_cores())
        self._logged: set[str] = set()

    @property
    def description(self) -> str:
        """Backend, library and version, for the log."""
        return f"the {self.name} backend: NumPy {np.__version__}"

    @property
    def data_threads(self) -> int:
        """Number of threads that may decode images while the backend computes."""
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

    def share_memory(self, groups: Sequence[Sequence[Placement]]) -> None:
        """Place the tensors in one array."""
        placements = [placement for group in groups for placement in group]
        size = end_of_placements(placements)
        flat = self.xp.zeros(size, self.dtype)
        for placement in placements:
            placement.tensor.lie_in(flat, placement.start)

    def state(self) -> dict[str, Any]:
        """Return an empty state: all state is in the tensors."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Do nothing: there is no state to restore."""

    def plan(self, op: Op[K], *tensors: Tensor) -> K:
        """Return the kernel of the most derived backend class that has one for `op`.

        Tensors without values never reach a library, which may divide by their sizes: NumPy's
        kernels compute ops on such tensors, whatever the backend.

        Raises
        ------
        Unsupported
            If no class has one, or only the reference has one and ``strict`` is set and it is not
            `inherited` on purpose.
        """
        is_empty = any(0 in tensor.shape for tensor in tensors)
        is_refused = is_empty or type(op) in self.inherited
        for cls in (ReferenceBackend,) if is_empty else type(self).__mro__:
            kernel = vars(cls).get("kernels", {}).get(type(op))
            if kernel is None:
                continue
            if cls is ReferenceBackend and not is_refused:
                self._fall_back(f"backend {self.name} has no kernel for {type(op).__name__}")
            try:
                planned: K = kernel(self, op, *tensors)
                return planned
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
        if reason not in self._logged:
            self._logged.add(reason)
            logger.info(f"{reason}; using the reference kernel")

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The limit of BLAS threads; no mutual exclusion, as kernels share no memory."""
        return self.blas_limit

    def fuse(self, kernel: object, epilogue: Sequence[EpilogueOp]) -> int:
        """Return 0: with NumPy, fusion saves no pass."""
        return 0

    def compile(self, tasks: Sequence[Task], changes: NetChanges | None = None) -> Task:
        """Return a function that calls the tasks in order, with the limit of BLAS threads."""
        tasks, limit = tuple(tasks), self.blas_limit

        def run() -> None:
            # Once for all tasks: entering the limit is cheap only within another entry.
            with limit:
                for task in tasks:
                    task()

        return run

    def free_bytes(self) -> int | None:
        """Return None: tensors are in host memory."""
        return None

    @property
    def activation_bytes(self) -> int:
        """Bytes that a value of a blob takes."""
        return self.dtype.itemsize

    def missing_bytes(self, tensors: Sequence[Tensor], are_activations: bool) -> int:
        """Return 0: no device memory is allocated."""
        return 0

    def synchronize(self) -> None:
        """Return at once: NumPy computes synchronously."""


def end_of_placements(placements: Sequence[Placement]) -> int:
    """Return the number of values of the memory that holds the tensors."""
    return max((p.start + math.prod(p.tensor.shape) for p in placements), default=0)


def kernel(*ops: type[Op[Any]]) -> Callable[[KernelType], KernelType]:
    """Register the decorated class as the reference kernel of each of `ops`."""

    def register(cls: KernelType) -> KernelType:
        ReferenceBackend.kernels.update(dict.fromkeys(ops, cls))
        return cls

    return register
