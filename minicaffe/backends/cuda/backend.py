"""The cuda backend: inherits from the reference, whose kernels run on the device's arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, ClassVar, TypeVar, cast

import numpy as np

from minicaffe.backends.cuda.driver.cublas import WORKSPACE_BYTES, Blas, Math, Matrix
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
from minicaffe.backends.cuda.runtime.graph_capture import GraphRunner, Task
from minicaffe.backends.cuda.runtime.loss_scale import LossScale
from minicaffe.backends.cuda.runtime.session import Session
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.backends.reference.backend import ReferenceBackend
from minicaffe.cores import usable_cores
from minicaffe.errors import Unsupported
from minicaffe.log import logger
from minicaffe.ops.backend import EpilogueOp, Op, Shape, Tensor
from minicaffe.ops.rows import FilterRows

KernelType = TypeVar("KernelType", bound=type)
# The type in which convolutions and inner products leave activations.
VALUES: dict[str, ValueType] = {
    "fp32": "float",
    "tf32": "float",
    "bf16": "bfloat16",
    "fp16": "float16",
}

# What a thread takes at once where values lie side by side, as in kernels/common.cuh.
PACK_BYTES = 16


# With more threads that decode, what each does under the interpreter's lock holds up the others.
MOST_DATA_THREADS = 16

# Kernels count in int.
MAX_VALUES = 2**31 - 1


class CudaBackend(ReferenceBackend):
    """An NVIDIA GPU.

    Parameters
    ----------
    device : Device
    precision : str, optional
        "tf32", the default: matrix products read 10 bits of the fraction; "fp32": all 23; "bf16",
        "fp16": activations have 16 bits, parameters and sums 32.
    strict : bool
        Refuse ops that only the reference has a kernel for.
    captures : bool
        Whether repeated work is recorded as CUDA graphs.
    channels_last : bool
        Whether convolutions put the channels last, as tensor cores want them.
    threads : int, optional
        How many threads of the host decode pictures. Default: the cores, at most
        `MOST_DATA_THREADS`.
    """

    name = "cuda"
    kernels: ClassVar[dict[type[Op[Any]], Any]] = {}
    # The shape of what it writes depends on values, so the host must wait for them in any case.
    inherited = frozenset({FilterRows})
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
        # What convolutions write.
        self.format = Format(channels_last, VALUES[self.precision])
        self.math: Math = "tf32" if self.precision == "tf32" else "fp32"
        # What was found fastest once is taken in every later run, which so computes the same bits.
        self.tuner = Tuner(device.dnns, device.name, PlanCache(cache_folder()), device)
        self._blas_memory = device.allocate(WORKSPACE_BYTES)
        self._blas = Blas(device.cublas, device.stream, self._blas_memory.address)

    @property
    def description(self) -> str:
        """What computes, for the log."""
        return f"the {self.name} backend: {self.device.description}, {self.precision}"

    @property
    def data_threads(self) -> int:
        """How many threads may decode pictures: the cores have nothing else to do."""
        return self._threads or min(usable_cores(), MOST_DATA_THREADS)

    @property
    def xp(self) -> ModuleType:
        """The array module of `Tensor.read`."""
        return self.device.xp

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """What to hold while one layer is planned or computes."""
        return self.session.lock

    def tensor(self, shape: Shape) -> CudaTensor:
        """Return a new tensor, filled with zeros."""
        return CudaTensor(self.session, shape)

    def gradient(self, shape: Shape) -> CudaTensor:
        """Return the same for a gradient, which has a scale in float16."""
        tensor = self.tensor(shape)
        tensor.use_scale()
        return tensor

    def state(self) -> dict[str, Any]:
        """Return the scale of gradients in float16."""
        scale = self.session.scale
        if scale is None:
            return {}
        with self.lock:
            return scale.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Take it over; a run in another precision has left none."""
        if self.session.scale is not None and state:
            with self.lock:
                self.session.scale.restore(state)

    def plan(self, op: Op[Any], *tensors: Tensor) -> Any:
        """Return a kernel for `op`; see `ReferenceBackend.plan`.

        Raises
        ------
        Unsupported
            Also if a tensor is so large that kernels could not count its values.
        """
        largest = max((math.prod(tensor.shape) for tensor in tensors), default=0)
        if largest > MAX_VALUES:
            raise Unsupported(
                f"a blob of {largest} values is too large for the GPU's kernels, which count to "
                f"{MAX_VALUES}. Make batch_size smaller, and iter_size larger by the same factor."
            )
        self.session.version += 1
        return super().plan(op, *tensors)

    def compile(self, work: Sequence[Task]) -> Task:
        """Return what does all pieces of `work`, by a recording where that is possible."""
        return GraphRunner(self.session, work) if self.captures else super().compile(work)

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

        Where a factor has a scale and c has not, a b is divided by it; beta is 0 or 1 then.
        """
        if scale is None:
            self._blas.gemm(a, b, c, beta=beta, math=self.math, count=count)
            return
        numbers = scale.inverse, scale.number(beta)
        self._blas.gemm_device_scalars(*numbers, a, b, c, math=self.math, count=count)

    def log_once(self, message: str) -> None:
        """Log a message the first time it is told."""
        if message not in self._told:
            self._told.add(message)
            logger.info(message)

    def fuse(self, kernel: Any, epilogue: Sequence[EpilogueOp]) -> int:
        """Have a kernel do what follows in the same pass, as far as it can."""
        self.session.version += 1
        return kernel.fuse(epilogue) if isinstance(kernel, CudaKernel) else 0

    def synchronize(self) -> None:
        """Wait until everything asked for has been computed."""
        # To wait would break what another thread records.
        with self.lock:
            self.device.synchronize()

    def free_bytes(self) -> int | None:
        """Return the device's free memory."""
        return self.device.memory()[0]

    def missing_bytes(self, tensors: Sequence[Tensor], are_activations: bool) -> int:
        """Return the memory that tensors will take when they are written, in one format each."""
        value = self.format.value if are_activations else "float"
        missing: dict[object, int] = {}
        for tensor in tensors:
            mine = cast("CudaTensor", tensor)
            needed = Format(value=value).size_bytes(mine.shape) - mine.taken_bytes
            missing[mine.storage] = max(needed, missing.get(mine.storage, 0))
        return sum(missing.values())


class CudaKernel:
    """Base of the kernels: holds the op, and launches functions of one source file.

    Attributes
    ----------
    file : str
        The file in kernels/, without its suffix.
    """

    file: ClassVar[str] = ""

    def __init__(self, backend: CudaBackend, op: Any, *tensors: Tensor) -> None:
        self.backend = backend
        self.session = backend.session
        self.device = backend.device
        self.op = op
        # What the source leaves open, beside VALUE.
        self.defines: tuple[str, ...] = ()

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Do what follows on the output as well, and nothing else; say how many of them."""
        return 0

    def function(self, name: str, value: ValueType = "float") -> KernelFunction:
        """Return a function of the source file, for one type of values."""
        return self.session.kernels(self.file, name, f"VALUE={value}", *self.defines)

    def launch(self, name: str, n: int, *args: Argument, value: ValueType = "float") -> None:
        """Launch a function whose threads share n elements, in a loop over the grid."""
        if n:
            self.function(name, value)(blocks(n), THREADS, *args)

    def launch_packs(self, name: str, n: int, *args: Argument, value: ValueType = "float") -> None:
        """Launch a function whose threads take n values 16 bytes at a time: FOR_EACH_PACK."""
        self.launch(name, -(-n * SIZE_BYTES[value] // PACK_BYTES), *args, value=value)

    def scratch(self, size_bytes: int, purpose: str = "") -> Address:
        """Return memory for one call; see `Session.scratch`."""
        return self.session.scratch(size_bytes, purpose)


def kernel(op: type[Op[Any]]) -> Callable[[KernelType], KernelType]:
    """Register the decorated class as this backend's kernel of `op`."""

    def register(cls: KernelType) -> KernelType:
        CudaBackend.kernels[op] = cls
        return cls

    return register
