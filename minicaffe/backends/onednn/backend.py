"""The oneDNN backend: inherits from the reference and overrides what oneDNN does faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import numpy as np
import threadpoolctl

from minicaffe.backends.onednn.primitive import Engine
from minicaffe.backends.onednn.reorder import Reorders
from minicaffe.backends.onednn.tensor import OneDnnTensor
from minicaffe.backends.onednn.threads import default_threads
from minicaffe.backends.reference.backend import ReferenceBackend
from minicaffe.ops.accuracy import Accuracy
from minicaffe.ops.arg_max import ArgMax
from minicaffe.ops.backend import Follower, Op, Shape, Tensor
from minicaffe.ops.dropout import Dropout
from minicaffe.ops.embed import Embed
from minicaffe.ops.loss import (
    ContrastiveLoss,
    EuclideanLoss,
    HingeLoss,
    InfogainLoss,
    MultinomialLogisticLoss,
    SigmoidCrossEntropyLoss,
)
from minicaffe.ops.recurrent import LstmUnit
from minicaffe.ops.rows import FilterRows, TakeRows

KernelType = TypeVar("KernelType", bound=Callable[..., Any])


class OneDnnBackend(ReferenceBackend):
    """oneDNN on the CPU, in float32.

    Parameters
    ----------
    strict : bool
        Refuse ops that only the reference has a kernel for.
    threads : int, optional
        Default: one for each physical core that this process may use.

    Raises
    ------
    BackendUnavailable
        If the library cannot be loaded.
    """

    name = "onednn"
    kernels: ClassVar[dict[type[Op], Any]] = {}
    # Work on labels and scores, or on rows that NumPy copies as fast as memory is: next to the
    # layers around it, nothing that a faster kernel would shorten.
    inherited = frozenset(
        {
            *(Accuracy, ArgMax, Dropout, Embed, FilterRows, TakeRows, LstmUnit),
            *(ContrastiveLoss, EuclideanLoss, HingeLoss, InfogainLoss),
            *(MultinomialLogisticLoss, SigmoidCrossEntropyLoss),
        }
    )

    def __init__(self, strict: bool = False, threads: int | None = None) -> None:
        super().__init__(np.float32, strict)
        self.threads = threads or default_threads()
        self.engine = Engine()
        self.engine.lib.set_threads(self.threads)
        # NumPy's own threads wait actively for tens of milliseconds after each product, on the
        # cores that oneDNN needs next.
        threadpoolctl.threadpool_limits(1, user_api="blas")
        self.reorders = Reorders(self.engine)
        self._pool = ThreadPoolExecutor(self.threads, "minicaffe")

    def absorb(self, kernel: Any, followers: Sequence[Follower]) -> int:
        """Have a kernel do what follows in the same pass, as far as it can."""
        return kernel.absorb(followers) if isinstance(kernel, OneDnnKernel) else 0

    @property
    def description(self) -> str:
        """What computes, for the log."""
        version = ".".join(map(str, self.engine.lib.version))
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"the {self.name} backend: oneDNN {version}, {threads}"

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

    def absorb(self, followers: Sequence[Follower]) -> int:
        """Do what follows on the output as well, and nothing else; say how many of them."""
        return 0


def kernel(op: type[Op]) -> Callable[[KernelType], KernelType]:
    """Register the decorated class, or the function that returns a kernel, for `op`."""

    def register(make: KernelType) -> KernelType:
        OneDnnBackend.kernels[op] = make
        return make

    return register
