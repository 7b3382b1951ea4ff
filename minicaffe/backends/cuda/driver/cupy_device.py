"""A GPU through CuPy; only this module and `cupy_transfers` import CuPy.

All work runs on one non-blocking stream, which is not synchronised with CUDA's default stream.
CuPy's arrays, on which the reference kernels compute, use it too: every method that returns an
array makes the stream the current one. It calls ``use``, never CuPy's ``with stream``, because the
latter always restores the default stream, not the previous one (cupy/cupy#8377).
"""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from minicaffe.backends.cuda.driver.kernel_cache import VARIABLE, prepare_folder
from minicaffe.errors import BackendUnavailable, DeviceMemoryError

try:
    prepare_folder()
    import cupy
    from cupy.cuda import runtime
    from cupy.cuda.memory import OutOfMemoryError
except ImportError as error:
    is_missing = isinstance(error, ModuleNotFoundError)
    # If CuPy is installed but does not import, its message is a page; the cause is one line.
    reason = "is not installed" if is_missing else f"does not import ({error.__cause__ or error})"
    raise BackendUnavailable(
        f"no GPU can be used: CuPy {reason}. If the machine has an NVIDIA GPU: pip install "
        "'minicaffe[gpu]'"
    ) from error
except OSError as error:
    raise BackendUnavailable(
        f"no GPU can be used: CuPy does not import ({error}). Set {VARIABLE} to a writable folder."
    ) from error

from minicaffe.backends.cuda.driver import cublas
from minicaffe.backends.cuda.driver.cudnn import open_cudnn
from minicaffe.backends.cuda.driver.cupy_transfers import CupyDownload, CupyStagingBuffer, Uploads
from minicaffe.backends.cuda.driver.device import (
    Address,
    Argument,
    CannotCapture,
    Grid,
    KernelFunction,
)
from minicaffe.backends.cuda.driver.plans import Dnn, PlanLimits
from minicaffe.backends.cuda.driver.query import cuda_version, device_query_lines
from minicaffe.ops.backend import Array, HostArray, Shape

# Objects of CuPy, which has no type stubs.
_Cupy: TypeAlias = Any

MIB = 1 << 20
# CuPy adds the folder of the headers to the options of each compilation.
HEADERS_ADVICE = (
    "The headers are in the wheels nvidia-cuda-runtime (CUDA 13) and nvidia-cuda-runtime-cu12 "
    "(CUDA 12); the extras minicaffe[gpu] and minicaffe[gpu-cuda12] install them."
)


def open_device(number: int) -> CupyDevice:
    """Return a GPU.

    Raises
    ------
    BackendUnavailable
        If there is no driver, no GPU, or none of this number.
    """
    count = count_devices()
    if not 0 <= number < count:
        cards = "GPU 0" if count == 1 else f"GPUs 0 to {count - 1}"
        raise BackendUnavailable(
            f"there is no GPU {number}; this machine has {cards}. "
            "`minicaffe device_query --gpu all` describes them."
        )
    return CupyDevice(number)


def count_devices() -> int:
    """Return how many GPUs there are, at least one.

    Raises
    ------
    BackendUnavailable
        If there is no driver, an old one, or no GPU.
    """
    try:
        return int(runtime.getDeviceCount())
    except runtime.CUDARuntimeError as error:
        driver = runtime.driverGetVersion()
        found = f"its driver is for CUDA {cuda_version(driver)}" if driver else "there is no driver"
        raise BackendUnavailable(
            f"no GPU can be used: {error}; {found}. minicaffe needs an NVIDIA GPU and a driver of "
            "version 580 or newer, or of 525 or newer with another CuPy (pip install "
            "'minicaffe[gpu-cuda12]'); `nvidia-smi` shows both."
        ) from error


def query_device(number: int) -> list[str]:
    """Return the lines that `minicaffe device_query` prints for a GPU.

    Raises
    ------
    BackendUnavailable
        As `open_device` does.
    """
    open_device(number)
    return list(device_query_lines(runtime, number, cupy.__version__))


class CupyMemory:
    """An allocation of CuPy's memory pool."""

    def __init__(self, pointer: _Cupy, size_bytes: int) -> None:
        self.pointer = pointer
        self.address = Address(pointer.ptr)
        self.size_bytes = size_bytes


class CupyFunction:
    """A compiled kernel."""

    def __init__(self, stream: _Cupy, function: _Cupy) -> None:
        self._stream, self._function = stream, function

    def __call__(self, grid: Grid, block: Grid, *args: Argument, shared_bytes: int = 0) -> None:
        """Launch the kernel; see `KernelFunction`."""
        given = tuple(map(_typed, args))
        self._function(
            _axes(grid), _axes(block), given, shared_mem=shared_bytes, stream=self._stream
        )


@contextlib.contextmanager
def _collection_disabled() -> Iterator[None]:
    """Disable garbage collection: freeing graphs or library handles invalidates a capture."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _cannot_capture(reason: object) -> CannotCapture:
    return CannotCapture(f"CUDA cannot capture this work: {reason}")


def _axes(grid: Grid) -> tuple[int, ...]:
    return grid if isinstance(grid, tuple) else (grid,)


def _typed(argument: Argument) -> np.generic:
    """Convert an argument to the type that the kernel expects."""
    if isinstance(argument, Address):
        return np.uint64(argument)
    return np.int32(argument) if isinstance(argument, int) else np.float32(argument)


class CupyDevice:
    """One NVIDIA GPU; see `minicaffe.backends.cuda.driver.device.Device`.

    Parameters
    ----------
    number : int
        As numbered by `nvidia-smi`.
    """

    def __init__(self, number: int) -> None:
        self._device = cupy.cuda.Device(number)
        self._device.use()
        # The pool caches freed blocks for each stream, also for streams that no longer exist.
        cupy.get_default_memory_pool().free_all_blocks()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self.make_current()
        properties = runtime.getDeviceProperties(number)
        self.properties: dict[str, object] = properties
        self.number = number
        self.name = properties["name"].decode()
        self.pci_bus = str(runtime.deviceGetPCIBusId(number))
        self.capability = (properties["major"], properties["minor"])
        self.multiprocessors = properties["multiProcessorCount"]
        self.is_capturing = False
        self._modules: dict[tuple[str, tuple[str, ...]], _Cupy] = {}
        self._pinned = Uploads()

    @property
    def xp(self) -> ModuleType:
        """CuPy."""
        module: ModuleType = cupy
        return module

    @property
    def description(self) -> str:
        """Name of the GPU and versions, for the log."""
        driver = runtime.driverGetVersion()
        return f"{self.name}, CUDA driver {cuda_version(driver)}, CuPy {cupy.__version__}"

    @property
    def stream(self) -> int:
        """The stream of all work."""
        return int(self._stream.ptr)

    def memory(self) -> tuple[int, int]:
        """Return free and total memory; unused blocks of CuPy's pool count as free."""
        self.make_current()
        free, total = runtime.memGetInfo()
        return free + cupy.get_default_memory_pool().free_bytes(), total

    def allocate(self, size_bytes: int) -> CupyMemory:
        """Return new memory."""
        self._refuse_capture("an allocation")
        # The pool reuses blocks that were freed on the current stream.
        self.make_current()
        try:
            return CupyMemory(cupy.cuda.alloc(max(size_bytes, 1)), size_bytes)
        except OutOfMemoryError as error:
            free, total = self.memory()
            raise DeviceMemoryError(
                f"GPU {self.number} cannot allocate {size_bytes / MIB:.0f} MiB: {free / MIB:.0f} "
                f"of {total / MIB:.0f} MiB are free. Make batch_size smaller, and iter_size larger "
                "by the same factor, or close other programs (nvidia-smi lists them)."
            ) from error

    def array(self, memory: Any, shape: Shape) -> Array:  # a CupyMemory, of this device
        """Return a float32 array over a memory."""
        # Computation on the array follows, possibly after another device was current.
        self.make_current()
        return cupy.ndarray(shape, np.float32, memptr=memory.pointer)

    def upload(self, address: Address, values: HostArray) -> None:
        """Copy from the host through pinned memory."""
        self._refuse_capture("an upload")
        self._pinned.upload(self._stream, address, np.ascontiguousarray(values))

    def staging(self, size_bytes: int) -> CupyStagingBuffer:
        """Return a staging buffer for uploads that overlap with kernels."""
        memory = self.allocate(size_bytes)
        return CupyStagingBuffer(
            self._device, self._stream, self._uploads, memory, self._refuse_capture
        )

    @functools.cached_property
    def _uploads(self) -> _Cupy:
        """The stream of prefetched uploads."""
        return cupy.cuda.Stream(non_blocking=True)

    def download(self, address: Address, values: HostArray) -> None:
        """Copy to the host and wait for the copy."""
        self.download_async(address, values).wait()

    def download_async(self, address: Address, values: HostArray) -> CupyDownload:
        """Start a copy to the host, through pinned memory."""
        self._refuse_capture("a download")
        return CupyDownload(self._stream, address, values)

    def clear(self, address: Address, size_bytes: int) -> None:
        """Fill with zero bytes."""
        # CUDA refuses to capture an empty memset.
        if size_bytes:
            runtime.memsetAsync(address, 0, size_bytes, self._stream.ptr)

    def copy(self, source: Address, target: Address, size_bytes: int) -> None:
        """Copy within the device."""
        kind = runtime.memcpyDeviceToDevice
        if size_bytes:
            runtime.memcpyAsync(target, source, size_bytes, kind, self._stream.ptr)

    def function(self, source: str, name: str, options: tuple[str, ...] = ()) -> KernelFunction:
        """Return a kernel of a source text; CuPy caches the compiled code on disk."""
        key = (source, options)
        if key not in self._modules:
            self._refuse_capture("compilation")
        try:
            if key not in self._modules:
                self._modules[key] = cupy.RawModule(code=source, options=("--std=c++17", *options))
            # Compiled and loaded now, because the first launch may be captured.
            return CupyFunction(self._stream, self._modules[key].get_function(name).kernel)
        except RuntimeError as error:
            if "CUDA headers" not in str(error):
                raise
            raise BackendUnavailable(
                f"no GPU can be used: CuPy cannot compile kernels ({error}). {HEADERS_ADVICE}"
            ) from error

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture the operations that `work` enqueues as a CUDA graph; return its launch."""
        self.make_current()
        with _collection_disabled():
            graph = self._capture(work)
        return lambda: graph.launch(self._stream)

    def _capture(self, work: Callable[[], None]) -> _Cupy:
        self._stream.begin_capture()
        self.is_capturing = True
        try:
            work()
        except RuntimeError as error:
            # An operation that CUDA cannot capture may invalidate the capture: no fault of `work`.
            is_broken = self._end_capture() is None
            if is_broken or isinstance(error, runtime.CUDARuntimeError):
                raise _cannot_capture(error) from error
            raise
        except BaseException:
            self._end_capture()
            raise
        finally:
            self.is_capturing = False
        graph = self._end_capture()
        if graph is None:
            raise _cannot_capture("the capture was invalidated")
        return graph

    @functools.cached_property
    def cublas(self) -> Any:  # see `Device.cublas`
        """The ctypes library of cuBLAS."""
        return cublas.load_cublas()

    @functools.cached_property
    def dnns(self) -> Sequence[Dnn]:
        """The APIs of cuDNN, restricted to deterministic plans."""
        return open_cudnn(self.stream, PlanLimits(is_deterministic=True))

    def milliseconds(self, work: Callable[[], None]) -> float:
        """Run `work` and return the device time that it takes."""
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record(self._stream)
        work()
        end.record(self._stream)
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(begin, end))

    def make_current(self) -> None:
        """Make this GPU and its stream the current ones of the calling thread."""
        self._device.use()
        self._stream.use()

    def synchronize(self) -> None:
        """Wait until all work on the stream is finished."""
        self._stream.synchronize()

    def _end_capture(self) -> _Cupy:
        """Return the graph, or None after an invalid capture; the stream is usable either way."""
        try:
            return self._stream.end_capture()
        except runtime.CUDARuntimeError:
            return None

    def _refuse_capture(self, what: str) -> None:
        if self.is_capturing:
            raise CannotCapture(f"{what} is not possible during graph capture")
