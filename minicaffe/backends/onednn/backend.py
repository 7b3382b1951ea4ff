"""The oneDNN backend: derives from the reference backend and overrides its kernels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from minicaffe.backends.blas_limit import BlasLimit
from minicaffe.backends.lock import BackendLock
from minicaffe.backends.onednn.replay.runner import Resources, SequenceRunner
from minicaffe.backends.onednn.runtime.call import Call, Port
from minicaffe.backends.onednn.runtime.library import DataType
from minicaffe.backends.onednn.runtime.memory import Buffer, Layout, ScratchBuffer
from minicaffe.backends.onednn.runtime.native import native_library, native_remark
from minicaffe.backends.onednn.runtime.precision import BF16, find_precision
from minicaffe.backends.onednn.runtime.primitive import Engine, Primitive
from minicaffe.backends.onednn.runtime.reorder import Reorders
from minicaffe.backends.onednn.runtime.rounding import RoundingCall
from minicaffe.backends.onednn.runtime.signal_stack import prepare_pool_thread
from minicaffe.backends.onednn.runtime.tensor import FLOAT_BYTES, OneDnnTensor
from minicaffe.backends.onednn.runtime.threads import compute_threads
from minicaffe.backends.reference.backend import OpT, ReferenceBackend, end_of_placements
from minicaffe.native.library import NativeFunction
from minicaffe.ops.accuracy import Accuracy
from minicaffe.ops.arg_max import ArgMax
from minicaffe.ops.backend import EpilogueOp, NetChanges, Op, Placement, Shape, Task, Tensor
from minicaffe.ops.detection.detection_evaluate import DetectionEvaluate
from minicaffe.ops.detection.detection_output import DetectionOutput
from minicaffe.ops.detection.multibox_loss import MultiBoxLoss
from minicaffe.ops.detection.prior_box import PriorBox
from minicaffe.ops.dropout import Dropout
from minicaffe.ops.embed import Embed
from minicaffe.ops.face.center_loss import CenterLoss
from minicaffe.ops.face.label_add import LabelAdd
from minicaffe.ops.face.triplet_loss import TripletLoss
from minicaffe.ops.flow.l1_loss import L1Loss
from minicaffe.ops.infogain_loss import InfogainLoss
from minicaffe.ops.loss import (
    ContrastiveLoss,
    EuclideanLoss,
    HingeLoss,
    MultinomialLogisticLoss,
    SigmoidCrossEntropyLoss,
)
from minicaffe.ops.lstm import LstmUnit
from minicaffe.ops.quantize import Quantize
from minicaffe.ops.rows import FilterRows, TakeRows
from minicaffe.ops.rrelu import RandomRelu
from minicaffe.ops.running_statistics import RunningStatistics
from minicaffe.ops.segmentation.seg_accuracy import SegAccuracy
from minicaffe.ops.segmentation.unique_labels import UniqueLabels
from minicaffe.ops.sequence.ctc_decode import CtcDecode, SequenceScores
from minicaffe.ops.sequence.ctc_loss import CtcLoss
from minicaffe.ops.sequence.reverse_time import ReverseTime
from minicaffe.ops.update import NonFiniteFlag

# A kernel class, or a function that returns a kernel.
KernelFactory = TypeVar("KernelFactory", bound=Callable[..., object])

# OpenMP worker threads do not survive fork(); waiting for them would deadlock.
AFTER_FORK = (
    "its compute threads do not exist in this process. Create nets in the process that runs them."
)


class OneDnnBackend(ReferenceBackend):
    """oneDNN on the CPU, in float32; optionally with bfloat16 products.

    Parameters
    ----------
    strict : bool
        Refuse ops that only the reference has a kernel for.
    threads : int, optional
        Default: one for each physical core that this process may use.
    precision : str, optional
        "bf16": convolutions and inner products multiply bfloat16 and add in float32, except where
        float32 is as fast. Activations may be stored as bfloat16; parameters, their gradients and
        all other arithmetic are float32. Default: "fp32".

    Raises
    ------
    BackendUnavailable
        If the library cannot be loaded, or for another precision.
    """

    name = "onednn"
    # Any: kernels and functions that return kernels have no common type.
    kernels: ClassVar[dict[type[Op[Any]], Any]] = {}
    # These work on labels and scores, on one value a channel, or on values that NumPy copies or
    # rounds at the speed of memory; next to the layers around them, faster kernels would save
    # nothing.
    inherited = frozenset(
        {
            *(Accuracy, ArgMax, Dropout, Embed, FilterRows, RandomRelu, TakeRows, LstmUnit),
            *(ContrastiveLoss, EuclideanLoss, HingeLoss, InfogainLoss),
            *(MultinomialLogisticLoss, SigmoidCrossEntropyLoss, NonFiniteFlag, RunningStatistics),
            *(PriorBox, MultiBoxLoss, DetectionOutput, DetectionEvaluate, SegAccuracy),
            *(CenterLoss, CtcDecode, CtcLoss, L1Loss, LabelAdd, ReverseTime, SequenceScores),
            *(Quantize, TripletLoss, UniqueLabels),
        }
    )
    precisions = ("fp32", "bf16")
    defers_sums = True

    def __init__(
        self, strict: bool = False, threads: int | None = None, precision: str | None = None
    ) -> None:
        super().__init__(np.float32, strict, threads, precision)
        # NumPy's BLAS threads spin for tens of milliseconds after each product, on the cores that
        # oneDNN needs next.
        self.blas_limit = BlasLimit(1)
        self.engine = Engine(compute_threads(threads))
        self.threads = self.engine.threads.most
        # The kernels in C, None if they were not compiled; kernels then use oneDNN and NumPy.
        self.native = native_library()
        self.scratch = ScratchBuffer(self.engine.handle)
        # All primitives share one scratchpad, and one kernel at a time uses the scratch buffer.
        # OpenMP has a thread count for each thread of the program, which initially is all cores.
        prepare = functools.partial(self.engine.lib.prepare_thread, self.threads)
        if_forked = AFTER_FORK if self.threads > 1 else ""
        self._lock = BackendLock(prepare, if_forked, self.blas_limit)
        prepare()
        self.precision = find_precision(self.engine, precision or self.precisions[0])
        self.reorders = Reorders(self.engine)
        self._executor = ThreadPoolExecutor(self.threads, "minicaffe", prepare_pool_thread)

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The lock to hold while one layer is planned or computes."""
        return self._lock

    @property
    def activation_bytes(self) -> int:
        """Bytes that a value of a blob takes at least: 2 where layouts may be of bfloat16."""
        return 2 if self.precision.operands is DataType.BF16 else 4

    def fuse(self, kernel: object, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse the ops after a kernel into its output pass, as far as it can."""
        return kernel.fuse(epilogue) if isinstance(kernel, OneDnnKernel) else 0

    def native_function(self, name: str) -> NativeFunction | None:
        """Return a C kernel by its name, or None if the C kernels were not compiled."""
        return self.native.lookup(name) if self.native else None

    def native_layout(self, x: OneDnnTensor) -> Layout:
        """Return the layout in which C kernels read x: as stored, if they have code for its type.

        What they write then has the same type, and so has its gradient.
        """
        reads_bfloat16 = self.native is not None and self.precision == BF16
        return x.stored if reads_bfloat16 else x.layout

    @property
    def description(self) -> str:
        """Library, version and threads, for the log."""
        version = ".".join(map(str, self.engine.lib.version))
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        remark = self.precision.remark and f", {self.precision.remark}"
        native = native_remark()
        return f"the {self.name} backend: oneDNN {version}, {threads}{remark}{native}"

    def spread(self, run: Callable[[int], None], n_tasks: int) -> None:
        """Call ``run(thread)`` on all threads in parallel; with few tasks, on as many threads.

        Parameters
        ----------
        run : callable
            Does the share of one thread, with NumPy calls that release the interpreter lock.
        n_tasks : int
            How many tasks the threads share.
        """
        _spread(self._executor, self.threads, run, n_tasks)

    def call(
        self,
        primitive: Primitive,
        reads: Sequence[Port],
        writes: Sequence[Port],
        converted: Collection[int],
    ) -> Call:
        """Return a call of a primitive in this backend's precision.

        Parameters
        ----------
        primitive, reads, writes
            As for `Call`; planned with `precision.operands`.
        converted : collection of int
            The arguments whose values have the precision's type; the others are float32.
        """
        if self.precision.rounds:
            return RoundingCall(primitive, reads, writes, converted, self.reorders)
        return Call(primitive, reads, writes)

    def tensor(self, shape: Shape) -> Tensor:
        """Return a new tensor, filled with zeros."""
        return OneDnnTensor(self.reorders, shape)

    def compile(self, tasks: Sequence[Task], changes: NetChanges | None = None) -> Task:
        """Return a function that runs tasks in order, by repeating native calls if possible."""
        if changes is None or self.native is None:
            return super().compile(tasks)
        lock = self._lock.without_limit()  # recorded calls use no BLAS
        resources = Resources(self.engine, self.native, lock, self.blas_limit)
        return SequenceRunner(resources, tasks, changes)

    def share_memory(self, groups: Sequence[Sequence[Placement]]) -> None:
        """Place the first layout of each tensor in one buffer; groups share those of the others."""
        size = end_of_placements([placement for group in groups for placement in group])
        memory = Buffer(size * FLOAT_BYTES, self.engine.handle)
        for group in groups:
            others: list[Buffer] = []
            for placement in group:
                tensor, start = placement.tensor, placement.start * FLOAT_BYTES
                place = memory.part(start, math.prod(tensor.shape) * FLOAT_BYTES)
                tensor.share_memory(place, others, placement.keeps_terms)


def _spread(
    executor: ThreadPoolExecutor, threads: int, run: Callable[[int], None], n_tasks: int
) -> None:
    others = [executor.submit(run, i) for i in range(1, min(threads, n_tasks))]
    run(0)
    for other in others:
        other.result()


class OneDnnKernel(Generic[OpT]):
    """Base of the kernels: holds the op and the engine.

    A subclass creates its primitives in ``__init__``; or, if they depend on the layout of tensors
    that other kernels write, at the first call with a layout.
    """

    def __init__(self, backend: OneDnnBackend, op: OpT, *tensors: Tensor) -> None:
        self.backend = backend
        self.engine = backend.engine
        self.op = op

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse the first ops of an epilogue, replacing the earlier one; return how many."""
        return 0


def kernel(*ops: type[Op[Any]]) -> Callable[[KernelFactory], KernelFactory]:
    """Register the decorated class, or the function that returns a kernel, for `ops`."""

    def register(factory: KernelFactory) -> KernelFactory:
        OneDnnBackend.kernels.update(dict.fromkeys(ops, factory))
        return factory

    return register
