"""The oneDNN backend: inherits from the reference and overrides what oneDNN does faster."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeVar

import numpy as np

from minicaffe.backends.blas_limit import BlasLimit
from minicaffe.backends.lock import BackendLock
from minicaffe.backends.onednn.runtime.precision import find as find_precision
from minicaffe.backends.onednn.runtime.primitive import Call, Engine, Port, Primitive
from minicaffe.backends.onednn.runtime.reorder import Reorders
from minicaffe.backends.onednn.runtime.rounding import RoundingCall
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.onednn.runtime.threads import usable_threads
from minicaffe.backends.onednn.runtime.workers import Workbench
from minicaffe.backends.reference.backend import ReferenceBackend
from minicaffe.ops.accuracy import Accuracy
from minicaffe.ops.arg_max import ArgMax
from minicaffe.ops.backend import EpilogueOp, Op, Shape, Tensor
from minicaffe.ops.dropout import Dropout
from minicaffe.ops.embed import Embed
from minicaffe.ops.infogain_loss import InfogainLoss
from minicaffe.ops.loss import (
    ContrastiveLoss,
    EuclideanLoss,
    HingeLoss,
    MultinomialLogisticLoss,
    SigmoidCrossEntropyLoss,
)
from minicaffe.ops.lstm import LstmUnit
from minicaffe.ops.rows import FilterRows, TakeRows
from minicaffe.ops.update import NonFiniteFlag

KernelType = TypeVar("KernelType", bound=Callable[..., Any])

# Whoever waits for threads that are not there waits for ever.
LEFT_BEHIND = (
    "the threads that it computes on have stayed behind. Make nets in the process that uses them."
)


class OneDnnBackend(ReferenceBackend):
    """oneDNN on the CPU, in float32; on request, products of bfloat16.

    Parameters
    ----------
    strict : bool
        Refuse ops that only the reference has a kernel for.
    threads : int, optional
        Default: one for each physical core that this process may use.
    precision : str, optional
        "bf16": convolutions and inner products multiply bfloat16 and add in float32; parameters,
        their gradients and all other layers stay float32. Default: "fp32".

    Raises
    ------
    BackendUnavailable
        If the library cannot be loaded, or for another precision.
    """

    name = "onednn"
    kernels: ClassVar[dict[type[Op[Any]], Any]] = {}
    # Work on labels and scores, or on rows that NumPy copies as fast as memory is: next to the
    # layers around it, nothing that a faster kernel would shorten.
    inherited = frozenset(
        {
            *(Accuracy, ArgMax, Dropout, Embed, FilterRows, TakeRows, LstmUnit),
            *(ContrastiveLoss, EuclideanLoss, HingeLoss, InfogainLoss),
            *(MultinomialLogisticLoss, SigmoidCrossEntropyLoss, NonFiniteFlag),
        }
    )
    precisions = ("fp32", "bf16")

    def __init__(
        self, strict: bool = False, threads: int | None = None, precision: str | None = None
    ) -> None:
        super().__init__(np.float32, strict, threads, precision)
        # NumPy's BLAS threads spin for tens of milliseconds after each product, on the cores that
        # oneDNN needs next.
        self.blas_limit = BlasLimit(1)
        self.threads = usable_threads(threads)
        self.engine = Engine()
        # All primitives compute in one scratchpad, and lanes belong to one kernel. OpenMP counts
        # threads for each thread of the program by itself, from all cores on.
        prepare = functools.partial(self.engine.lib.set_threads, self.threads)
        if_forked = LEFT_BEHIND if self.threads > 1 else ""
        self._lock = BackendLock(prepare, if_forked, self.blas_limit)
        self.engine.lib.set_threads(self.threads)
        self.precision = find_precision(self.engine, precision or self.precisions[0])
        self.reorders = Reorders(self.engine)
        self._pool = ThreadPoolExecutor(self.threads, "minicaffe")

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """What to hold while one layer is planned or computes."""
        return self._lock

    def fuse(self, kernel: Any, epilogue: Sequence[EpilogueOp]) -> int:
        """Have a kernel do what follows in the same pass, as far as it can."""
        return kernel.fuse(epilogue) if isinstance(kernel, OneDnnKernel) else 0

    @functools.cached_property
    def workbench(self) -> Workbench:
        """What kernels that compute on threads of their own share, made for the first of them."""
        return Workbench(self)

    @property
    def description(self) -> str:
        """What computes, for the log."""
        version = ".".join(map(str, self.engine.lib.version))
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        remark = self.precision.remark and f", {self.precision.remark}"
        return f"the {self.name} backend: oneDNN {version}, {threads}{remark}"

    def spread(self, run: Callable[[int], None], pieces: int) -> None:
        """Call ``run(thread)`` for every thread, at once; for few pieces on fewer threads.

        Parameters
        ----------
        run : callable
            Does the share of one thread, with NumPy calls that let go of Python's lock.
        pieces : int
            How many pieces of work there are; a thread without any is not woken.
        """
        others = [self._pool.submit(run, i) for i in range(1, min(self.threads, pieces))]
        run(0)
        for other in others:
            other.result()

    def call(
        self,
        primitive: Primitive,
        reads: Sequence[Port],
        writes: Sequence[Port],
        converted: Collection[int],
    ) -> Call:
        """Return a primitive with places for tensors, in this backend's precision.

        Parameters
        ----------
        primitive, reads, writes
            As for `Call`; planned with `precision.operands`.
        converted : collection of int
            The arguments whose values are of the precision's type; the others are float32.
        """
        if self.precision.rounds:
            return RoundingCall(primitive, reads, writes, converted, self.reorders)
        return Call(primitive, reads, writes)

    def tensor(self, shape: Shape) -> Tensor:
        """Return a new tensor, filled with zeros."""
        return OneDnnTensor(self.reorders, shape)


class OneDnnKernel:
    """Base of the kernels: holds the op and the engine.

    A subclass creates its primitives in ``__init__`` or, where they follow the layout of tensors
    that other kernels write, at the first call that meets a layout.
    """

    def __init__(self, backend: OneDnnBackend, op: Any, *tensors: Tensor) -> None:
        self.backend = backend
        self.engine = backend.engine
        self.op = op

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Do what follows on the output as well, and nothing else; say how many of them."""
        return 0


def kernel(op: type[Op[Any]]) -> Callable[[KernelType], KernelType]:
    """Register the decorated class, or the function that returns a kernel, for `op`."""

    def register(make: KernelType) -> KernelType:
        OneDnnBackend.kernels[op] = make
        return make

    return register
