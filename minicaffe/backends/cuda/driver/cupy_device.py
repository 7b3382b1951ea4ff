"""A GPU, by way of CuPy, which this module and `cupy_transfers` alone import.

Everything runs on one stream of our own, which nothing orders against CUDA's default stream.
CuPy's arrays, which the reference kernels compute with, run on it too: whatever hands them out
makes it the current one. That is done by ``use``, never by CuPy's ``with stream``: at its end the
default stream is the current one, whatever was in use before (cupy/cupy#8377).
"""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

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
    # Where CuPy is there and does not load, its own message is a page; the cause is one line.
    reason = "is not installed" if is_missing else f"does not load ({error.__cause__ or error})"
    raise BackendUnavailable(
        f"no GPU can be used: CuPy {reason}. Do: pip install 'minicaffe[gpu]'"
    ) from error
except OSError as error:
    raise BackendUnavailable(
        f"no GPU can be used: CuPy does not load ({error}). Let {VARIABLE} name a folder that can "
        "be written."
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
from minicaffe.backends.cuda.driver.plans import Dnn
from minicaffe.backends.cuda.driver.query import cuda_version, device_query_lines
from minicaffe.ops.backend import Array, HostArray, Shape

MIB = 1 << 20


def open_device(number: int) -> CupyDevice:
    """Return a GPU.

    Raises
    ------
    BackendUnavailable
        If there is no driver, no card, or none of this number.
    """
    count = count_devices()
    if not 0 <= number < count:
        cards = "GPU 0" if count == 1 else f"GPUs 0 to {count - 1}"
        raise BackendUnavailable(
            f"there is no GPU {number}; this machine has {cards}. "
            "`minicaffe device_query --gpu all` shows what they are."
        )
    return CupyDevice(number)


def count_devices() -> int:
    """Return how many GPUs there are, at least one.

    Raises
    ------
    BackendUnavailable
        If there is no driver, an old one, or no card.
    """
    try:
        return int(runtime.getDeviceCount())
    except runtime.CUDARuntimeError as error:
        driver = runtime.driverGetVersion()
        found = f"its driver is for CUDA {cuda_version(driver)}" if driver else "there is no driver"
        raise BackendUnavailable(
            f"no GPU can be used: {error}; {found}. Look at what `nvidia-smi` says: what is needed "
            "is an NVIDIA card, and a driver of version 580 or newer, or of 525 or newer with "
            "another CuPy: pip install 'minicaffe[gpu-cuda12]'"
        ) from error


def query_device(number: int) -> list[str]:
    """Return what `minicaffe device_query` shows of a GPU, a line each.

    Raises
    ------
    BackendUnavailable
        As `open_device` does.
    """
    open_device(number)
    return list(device_query_lines(runtime, number, cupy.__version__))


class CupyMemory:
    """An allocation of CuPy's pool."""

    def __init__(self, pointer: Any, size_bytes: int) -> None:
        self.pointer = pointer
        self.address = Address(pointer.ptr)
        self.size_bytes = size_bytes


class CupyFunction:
    """A compiled kernel."""

    def __init__(self, stream: Any, function: Any) -> None:
        self._stream, self._function = stream, function

    def __call__(self, grid: Grid, block: Grid, *args: Argument, shared_bytes: int = 0) -> None:
        """Launch it; see `KernelFunction`."""
        given = tuple(map(_typed, args))
        self._function(
            _axes(grid), _axes(block), given, shared_mem=shared_bytes, stream=self._stream
        )


@contextlib.contextmanager
def _garbage_kept() -> Iterator[None]:
    """Have nothing collected: graphs and handles of libraries, given back, break a recording."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _cannot_record(reason: object) -> CannotCapture:
    return CannotCapture(f"CUDA does not record this work: {reason}")


def _axes(grid: Grid) -> tuple[int, ...]:
    return grid if isinstance(grid, tuple) else (grid,)


def _typed(argument: Argument) -> np.generic:
    """Return an argument with the size that the kernel expects."""
    if isinstance(argument, Address):
        return np.uint64(argument)
    return np.int32(argument) if isinstance(argument, int) else np.float32(argument)


class CupyDevice:
    """One NVIDIA GPU; see `minicaffe.backends.cuda.driver.device.Device`.

    Parameters
    ----------
    number : int
        Counted as `nvidia-smi` does.
    """

    def __init__(self, number: int) -> None:
        self._device = cupy.cuda.Device(number)
        self._device.use()
        # The pool keeps for each stream what was given back, also for those that are gone.
        cupy.get_default_memory_pool().free_all_blocks()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self.make_current()
        properties = runtime.getDeviceProperties(number)
        self.properties: dict[str, Any] = properties
        self.number = number
        self.name = properties["name"].decode()
        self.capability = (properties["major"], properties["minor"])
        self.multiprocessors = properties["multiProcessorCount"]
        self.is_capturing = False
        self._modules: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._pinned = Uploads()

    @property
    def xp(self) -> ModuleType:
        """CuPy."""
        module: ModuleType = cupy
        return module

    @property
    def description(self) -> str:
        """Card and versions, for the log."""
        driver = runtime.driverGetVersion()
        return f"{self.name}, CUDA driver {cuda_version(driver)}, CuPy {cupy.__version__}"

    @property
    def stream(self) -> int:
        """The stream that everything runs on."""
        return int(self._stream.ptr)

    def memory(self) -> tuple[int, int]:
        """Return free and total memory; what CuPy's pool holds unused is free."""
        self.make_current()
        free, total = runtime.memGetInfo()
        return free + cupy.get_default_memory_pool().free_bytes(), total

    def allocate(self, size_bytes: int) -> CupyMemory:
        """Return new memory."""
        self._refuse_capture("memory")
        # The pool hands on what was given back on the current stream.
        self.make_current()
        try:
            return CupyMemory(cupy.cuda.alloc(max(size_bytes, 1)), size_bytes)
        except OutOfMemoryError as error:
            free, total = self.memory()
            raise DeviceMemoryError(
                f"GPU {self.number} has no {size_bytes / MIB:.0f} MiB left: {free / MIB:.0f} of "
                f"{total / MIB:.0f} MiB are free. Make batch_size smaller, and iter_size larger by "
                "the same factor, or close other programs (nvidia-smi lists them)."
            ) from error

    def array(self, memory: Any, shape: Shape) -> Array:
        """Return a float32 array over a memory."""
        # What computes with it comes next, perhaps after another device has been used.
        self.make_current()
        return cupy.ndarray(shape, np.float32, memptr=memory.pointer)

    def upload(self, address: Address, values: HostArray) -> None:
        """Copy from the host by way of pinned memory."""
        self._refuse_capture("an upload")
        self._pinned.upload(self._stream, address, np.ascontiguousarray(values))

    def staging(self, size_bytes: int) -> CupyStagingBuffer:
        """Return memory for uploads that overlap with kernels."""
        memory = self.allocate(size_bytes)
        return CupyStagingBuffer(
            self._device, self._stream, self._uploads, memory, self._refuse_capture
        )

    @functools.cached_property
    def _uploads(self) -> Any:
        """The stream of what is uploaded ahead of time."""
        return cupy.cuda.Stream(non_blocking=True)

    def download(self, address: Address, values: HostArray) -> None:
        """Copy to the host and wait for it."""
        self.download_async(address, values).wait()

    def download_async(self, address: Address, values: HostArray) -> CupyDownload:
        """Begin to copy to the host, by way of pinned memory."""
        self._refuse_capture("a download")
        return CupyDownload(self._stream, address, values)

    def clear(self, address: Address, size_bytes: int) -> None:
        """Fill with zero bytes."""
        # Nothing to fill is no node of a graph.
        if size_bytes:
            runtime.memsetAsync(address, 0, size_bytes, self._stream.ptr)

    def copy(self, source: Address, target: Address, size_bytes: int) -> None:
        """Copy within the device."""
        kind = runtime.memcpyDeviceToDevice
        if size_bytes:
            runtime.memcpyAsync(target, source, size_bytes, kind, self._stream.ptr)

    def function(self, source: str, name: str, options: tuple[str, ...] = ()) -> KernelFunction:
        """Return a kernel of a source text; CuPy keeps the compiled code on disk."""
        key = (source, options)
        if key not in self._modules:
            self._refuse_capture("compiling")
            self._modules[key] = cupy.RawModule(code=source, options=("--std=c++17", *options))
        # Compiled and loaded now, not by its first launch, which may be recorded.
        return CupyFunction(self._stream, self._modules[key].get_function(name).kernel)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` asks for as a CUDA graph."""
        self.make_current()
        with _garbage_kept():
            graph = self._capture(work)
        return lambda: graph.launch(self._stream)

    def _capture(self, work: Callable[[], None]) -> Any:
        self._stream.begin_capture()
        self.is_capturing = True
        try:
            work()
        except RuntimeError as error:
            # What CUDA does not record may break the recording, and is no fault of the work.
            is_broken = self._end_capture() is None
            if is_broken or isinstance(error, runtime.CUDARuntimeError):
                raise _cannot_record(error) from error
            raise
        except BaseException:
            self._end_capture()
            raise
        finally:
            self.is_capturing = False
        graph = self._end_capture()
        if graph is None:
            raise _cannot_record("something was asked for that CUDA cannot record")
        return graph

    @functools.cached_property
    def cublas(self) -> Any:
        """The library of cuBLAS."""
        return cublas.load_cublas()

    @functools.cached_property
    def dnns(self) -> Sequence[Dnn]:
        """What plans convolutions, bit by bit the same way in every run."""
        return open_cudnn(self.stream, is_deterministic=True)

    def milliseconds(self, work: Callable[[], None]) -> float:
        """Return the time that the device takes for `work`."""
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record(self._stream)
        work()
        end.record(self._stream)
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(begin, end))

    def make_current(self) -> None:
        """Have what this thread asks of CUDA and CuPy from now on happen on our card and stream."""
        self._device.use()
        self._stream.use()

    def synchronize(self) -> None:
        """Wait until everything is done."""
        self._stream.synchronize()

    def _end_capture(self) -> Any:
        """Return the graph; None if the recording is broken. The stream is usable either way."""
        try:
            return self._stream.end_capture()
        except runtime.CUDARuntimeError:
            return None

    def _refuse_capture(self, what: str) -> None:
        if self.is_capturing:
            raise CannotCapture(f"{what} is asked for while work is recorded")
