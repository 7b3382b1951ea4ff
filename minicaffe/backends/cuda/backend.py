"""The cuda backend, which inherits the reference kernels: these run on CuPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar, cast

import numpy as np

from minicaffe.backends.cuda.driver.cublas import WORKSPACE_BYTES, Blas, DeviceScalars, Math, Matrix
from minicaffe.backends.cuda.driver.device import (
    THREADS,
    Address,
    Argument,
    Device,
    KernelFunction,
    blocks,
)
from minicaffe.backends.cuda.driver.tuning import PlanCache, Tuner, cache_folder
from minicaffe.backends.cuda.runtime.format import SIZE_BYTES, Format, ValueType
from minicaffe.backends.cuda.runtime.graph_capture import GraphRunner
from minicaffe.backends.cuda.runtime.loss_scale import LossScale
from minicaffe.backends.cuda.runtime.session import Session
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.backends.reference.backend import ReferenceBackend
from minicaffe.cores import usable_cores
from minicaffe.errors import Unsupported
from minicaffe.log import logger
from minicaffe.ops.backend import EpilogueOp, NetChanges, Op, Placement, Shape, Task, Tensor
from minicaffe.ops.detection.detection_evaluate import DetectionEvaluate
from minicaffe.ops.detection.detection_output import DetectionOutput
from minicaffe.ops.detection.multibox_loss import MultiBoxLoss
from minicaffe.ops.detection.prior_box import PriorBox
from minicaffe.ops.rows import FilterRows

KernelType = TypeVar("KernelType", bound=type)
K = TypeVar("K")
OpT = TypeVar("OpT")
# The type of the activations that convolutions and inner products write.
VALUES: dict[str, ValueType] = {
    "fp32": "float",
    "tf32": "float",
    "bf16": "bfloat16",
    "fp16": "float16",
}

# Bytes of one vectorised access, as in kernels/_common.cuh.
PACK_BYTES = 16


# With more decoding threads, contention for Python's interpreter lock slows them all down.
MAX_DATA_THREADS = 16

# Kernels index values with int.
MAX_VALUES = 2**31 - 1


class CudaBackend(ReferenceBackend):
    """An NVIDIA GPU.

    Parameters
    ----------
    device : Device
    precision : str, optional
        "tf32", the default: matrix products use 10 mantissa bits; "fp32": all 23; "bf16", "fp16":
        activations have 16 bits, parameters and sums 32.
    strict : bool
        Refuse ops for which only the reference backend has a kernel.
    captures : bool
        Whether compiled tasks are captured as CUDA graphs.
    channels_last : bool
        Whether convolutions store the channels last, the layout for tensor cores.
    threads : int, optional
        Number of host threads that decode images. Default: the cores, at most
        `MAX_DATA_THREADS`.
    """

    name = "cuda"
    # Any: each op type has a kernel protocol of its own.
    kernels: ClassVar[dict[type[Op[Any]], Any]] = {}
    # What they select depends on values, so the host must wait for these in any case. Prior boxes
    # are copied.
    inherited = frozenset({FilterRows, PriorBox, MultiBoxLoss, DetectionOutput, DetectionEvaluate})
    precisions = ("tf32", "fp32", "bf16", "fp16")

    def __init__(
        self,
        device: Device,
        precision: str | None = None,
        strict: bool = False,
        captures: bool = True,
        channels_last: bool = True,
        threads: int | None = None,
    ) -> None:
        super().__init__(np.float32, strict, precision=precision)
        self._threads = threads
        self.device = device
        self.precision = precision or self.precisions[0]
        self.captures = captures
        self.session = Session(device)
        if self.precision == "fp16":
            self.session.scale = LossScale(device)
        # Format of the activations that convolutions write.
        self.format = Format(channels_last, VALUES[self.precision])
        self.math: Math = "tf32" if self.precision == "tf32" else "fp32"
        # The plan cache makes later runs use the same plans, so that they compute the same bits.
        self.tuner = Tuner(device.dnns, device.name, PlanCache(cache_folder()), device)
        self._blas_workspace = device.allocate(WORKSPACE_BYTES)
        self._blas = Blas(device.cublas, device.stream, self._blas_workspace.address)

    @property
    def description(self) -> str:
        """What computes, for the log."""
        return f"the {self.name} backend: {self.device.description}, {self.precision}"

    @property
    def data_threads(self) -> int:
        """Number of threads that may decode images: all cores, which are idle otherwise."""
        return self._threads or min(usable_cores(), MAX_DATA_THREADS)

    @property
    def xp(self) -> ModuleType:
        """The array module of `Tensor.read`."""
        return self.device.xp

    @property
    def lock(self) -> AbstractContextManager[None]:
        """The reentrant lock to hold while one layer is planned or computes."""
        return self.session.lock

    def tensor(self, shape: Shape) -> CudaTensor:
        """Return a new tensor, filled with zeros."""
        return CudaTensor(self.session, shape)

    def share_memory(self, groups: Sequence[Sequence[Placement]]) -> None:
        """Let the tensors of each group share their allocations."""
        for first, *others in groups:
            for placement in others:
                placement.tensor.share_memory_with(first.tensor)

    def gradient(self, shape: Shape) -> CudaTensor:
        """Return a new tensor for a gradient, whose float16 values use the loss scale."""
        tensor = self.tensor(shape)
        tensor.use_scale()
        return tensor

    def state(self) -> dict[str, Any]:
        """Return the loss scale, if activations are float16."""
        scale = self.session.scale
        if scale is None:
            return {}
        with self.lock:
            return scale.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the loss scale; a run in another precision has none."""
        if self.session.scale is not None and state:
            with self.lock:
                self.session.scale.restore(state)

    def plan(self, op: Op[K], *tensors: Tensor) -> K:
        """Return a kernel for `op`; see `ReferenceBackend.plan`.

        Raises
        ------
        Unsupported
            Also if a tensor has more values than kernels can index.
        """
        largest = max((math.prod(tensor.shape) for tensor in tensors), default=0)
        if largest > MAX_VALUES:
            raise Unsupported(
                f"a blob of {largest} values is too large for the GPU kernels, which index at most "
                f"{MAX_VALUES}. Make batch_size smaller, and iter_size larger by the same factor."
            )
        self.session.version += 1
        kernel: K = super().plan(op, *tensors)
        return kernel

    def compile(self, tasks: Sequence[Task], changes: NetChanges | None = None) -> Task:
        """Return a function that runs tasks in order, by graph replay where that is possible."""
        return GraphRunner(self.session, tasks) if self.captures else super().compile(tasks)

    def gemm(
        self,
        a: Matrix,
        b: Matrix,
        c: Matrix,
        *,
        beta: float = 0.0,
        count: int = 1,
        scale: LossScale | None = None,
    ) -> None:
        """Overwrite c with a b + beta c, in the backend's precision; see `Blas.gemm`.

        If a factor has a loss scale and c has none, a b is divided by it; beta is 0 or 1 then.
        """
        scalars: tuple[float, float] | DeviceScalars = (1.0, beta)
        if scale is not None:
            scalars = DeviceScalars(scale.inverse, scale.number(beta))
        self._blas.gemm(a, b, c, scalars, self.math, count)

    def log_once(self, message: str) -> None:
        """Log a message unless it was logged before."""
        if message not in self._logged:
            self._logged.add(message)
            logger.info(message)

    def fuse(self, kernel: object, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse an epilogue into a kernel; return how many of its ops are fused."""
        self.session.version += 1
        return kernel.fuse(epilogue) if isinstance(kernel, CudaKernel) else 0

    def synchronize(self) -> None:
        """Wait until all work on the device is finished."""
        # Without the lock, the wait would invalidate the graph capture of another thread.
        with self.lock:
            self.device.synchronize()

    def free_bytes(self) -> int | None:
        """Return the free device memory."""
        return self.device.memory()[0]

    def missing_bytes(self, tensors: Sequence[Tensor], are_activations: bool) -> int:
        """Return the memory that tensors will take when first written, in one format each."""
        value = self.format.value if are_activations else "float"
        missing: dict[object, int] = {}
        for tensor in tensors:
            own = cast("CudaTensor", tensor)
            needed = Format(value=value).size_bytes(own.shape) - own.taken_bytes
            missing[own.storage] = max(needed, missing.get(own.storage, 0))
        return sum(missing.values())


class CudaKernel(Generic[OpT]):
    """Base class of the kernels: holds the op and launches functions of one source file.

    Attributes
    ----------
    file : str
        The file in kernels/, without its suffix.
    """

    file: ClassVar[str] = ""

    def __init__(self, backend: CudaBackend, op: OpT, *tensors: Tensor) -> None:
        self.backend = backend
        self.session = backend.session
        self.device = backend.device
        self.op = op
        # Macros that select a variant of the source, besides VALUE.
        self.defines: tuple[str, ...] = ()

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse an epilogue, replacing the earlier one; return how many of its ops are fused."""
        return 0

    def function(self, name: str, value: ValueType = "float", *defines: str) -> KernelFunction:
        """Return a function of the source file, compiled for one type of values.

        Parameters
        ----------
        name, value : str
        defines : str
            More macros.
        """
        return self.session.kernels(self.file, name, f"VALUE={value}", *self.defines, *defines)

    def launch(self, name: str, n: int, *args: Argument, value: ValueType = "float") -> None:
        """Launch a function with a grid-stride loop over n elements."""
        if n:
            self.function(name, value)(blocks(n), THREADS, *args)

    def launch_packs(self, name: str, n: int, *args: Argument, value: ValueType = "float") -> None:
        """Launch a function that accesses n values 16 bytes at a time: FOR_EACH_PACK."""
        self.launch(name, -(-n * SIZE_BYTES[value] // PACK_BYTES), *args, value=value)

    def scratch(self, size_bytes: int, purpose: str = "") -> Address:
        """Return scratch memory for one call; see `Session.scratch`."""
        return self.session.scratch(size_bytes, purpose)


def kernel(*ops: type[Op[Any]]) -> Callable[[KernelType], KernelType]:
    """Register the decorated class as this backend's kernel of each of `ops`."""

    def register(cls: KernelType) -> KernelType:
        CudaBackend.kernels.update(dict.fromkeys(ops, cls))
        return cls

    return register
