"""A GPU, by way of CuPy: the only module that imports it.

Everything runs on one stream of our own. CuPy's arrays, which the reference kernels compute with,
run on it too, because it is made the current stream of the thread that opens the device.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from minicaffe.errors import BackendUnavailable, DeviceMemoryError

try:
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

from minicaffe.backends.cuda import cublas
from minicaffe.backends.cuda.cudnn import open_cudnn
from minicaffe.backends.cuda.device import Address, Argument, CannotRecord, Function, Grid
from minicaffe.backends.cuda.plans import Dnn
from minicaffe.backends.cuda.query import cuda_version
from minicaffe.backends.cuda.query import lines as query_lines
from minicaffe.ops.backend import Array, HostArray, Shape

# Uploads go through pinned memory in rings: small ones (numbers of a run) and large ones (batches).
SMALL_BYTES = 1 << 16
RING_LENGTH = {True: 64, False: 2}
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


def query(number: int) -> list[str]:
    """Return what `minicaffe device_query` shows of a GPU, a line each.

    Raises
    ------
    BackendUnavailable
        As `open_device` does.
    """
    open_device(number)
    return list(query_lines(runtime, number, cupy.__version__))


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
        """Launch it; see `Function`."""
        with self._stream:
            self._function(
                _axes(grid), _axes(block), tuple(map(_typed, args)), shared_mem=shared_bytes
            )


class CupyDownload:
    """A copy to the host that may not be done yet."""

    def __init__(self, stream: Any, address: int, values: HostArray) -> None:
        self._values = values
        self._pinned = cupy.cuda.alloc_pinned_memory(max(values.nbytes, 1))
        kind = runtime.memcpyDeviceToHost
        runtime.memcpyAsync(self._pinned.ptr, address, values.nbytes, kind, stream.ptr)
        self._event = cupy.cuda.Event(disable_timing=True)
        self._event.record(stream)

    @property
    def is_ready(self) -> bool:
        """Whether it is done."""
        return bool(self._event.done)

    def __call__(self) -> None:
        """Wait until it is done."""
        self._event.synchronize()
        ctypes.memmove(self._values.ctypes.data, self._pinned.ptr, self._values.nbytes)


class CupyInbox:
    """Memory of the device with a page-locked twin; see `Inbox`.

    Parameters
    ----------
    device : cupy.cuda.Device
    kernels, uploads : cupy.cuda.Stream
        Where kernels run, and beside them the uploads.
    memory : CupyMemory
    refuse_recording : callable
        Raises while work is recorded.

    Notes
    -----
    A thread begins with GPU 0, and an event belongs to the GPU that it was made on. So what any
    thread may call makes its own GPU the current one, and leaves it so: CuPy's ``with device``
    keeps what was current before in the object, where threads would mix it up.
    """

    def __init__(
        self,
        device: Any,
        kernels: Any,
        uploads: Any,
        memory: CupyMemory,
        refuse_recording: Callable[[str], None],
    ) -> None:
        self._device, self._kernels, self._uploads = device, kernels, uploads
        self._memory, self._refuse_recording = memory, refuse_recording
        self.address = memory.address
        self._pinned = cupy.cuda.alloc_pinned_memory(memory.size_bytes)
        self.host: HostArray = np.frombuffer(self._pinned, np.uint8, memory.size_bytes)
        # A blocking event leaves the core to others while the host waits.
        self._arrived = cupy.cuda.Event(block=True, disable_timing=True)
        self._released = cupy.cuda.Event(disable_timing=True)
        # CuPy hands on memory that kernels asked for before still use, ...
        self._released.record(kernels)
        # ... and this memory to the next who asks, though an upload may still write to it.
        weakref.finalize(self, self._arrived.synchronize)

    def wait(self) -> None:
        """Wait until the last upload has arrived."""
        self._device.use()
        self._arrived.synchronize()

    def send(self) -> None:
        """Upload on the stream of uploads, behind the last release."""
        self._device.use()
        self._uploads.wait_event(self._released)
        size_bytes, kind = self.host.nbytes, runtime.memcpyHostToDevice
        stream = self._uploads.ptr
        runtime.memcpyAsync(self.address, self._pinned.ptr, size_bytes, kind, stream)
        self._arrived.record(self._uploads)

    def receive(self) -> None:
        """Have the kernels' stream wait for the upload."""
        self._refuse_recording("what is uploaded")
        self._kernels.wait_event(self._arrived)

    def release(self) -> None:
        """Note the end of what has been asked for on the kernels' stream."""
        self._refuse_recording("what is uploaded")
        self._released.record(self._kernels)


def _axes(grid: Grid) -> tuple[int, ...]:
    return grid if isinstance(grid, tuple) else (grid,)


def _typed(argument: Argument) -> np.generic:
    """Return an argument with the size that the kernel expects."""
    if isinstance(argument, Address):
        return np.uint64(argument)
    return np.int32(argument) if isinstance(argument, int) else np.float32(argument)


class _Ring:
    """Pinned buffers that are used in turn, each again when its last copy is done."""

    def __init__(self, size_bytes: int, length: int) -> None:
        self._slots = itertools.cycle(
            [
                (cupy.cuda.alloc_pinned_memory(size_bytes), cupy.cuda.Event(disable_timing=True))
                for _ in range(length)
            ]
        )

    def upload(self, stream: Any, address: int, values: HostArray) -> None:
        pinned, event = next(self._slots)
        event.synchronize()
        np.frombuffer(pinned, np.uint8, values.nbytes)[...] = values.reshape(-1).view(np.uint8)
        kind = runtime.memcpyHostToDevice
        runtime.memcpyAsync(address, pinned.ptr, values.nbytes, kind, stream.ptr)
        event.record(stream)


class CupyDevice:
    """One NVIDIA GPU; see `minicaffe.backends.cuda.device.Device`.

    Parameters
    ----------
    number : int
        Counted as `nvidia-smi` does.
    """

    def __init__(self, number: int) -> None:
        self._device = cupy.cuda.Device(number)
        self._device.use()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._stream.use()
        properties = runtime.getDeviceProperties(number)
        self.properties: dict[str, Any] = properties
        self.number = number
        self.name = properties["name"].decode()
        self.capability = (properties["major"], properties["minor"])
        self.multiprocessors = properties["multiProcessorCount"]
        self.is_recording = False
        self._modules: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._rings: dict[int, _Ring] = {}

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
        free, total = runtime.memGetInfo()
        return free + cupy.get_default_memory_pool().free_bytes(), total

    def allocate(self, size_bytes: int) -> CupyMemory:
        """Return new memory."""
        self._refuse_recording("memory")
        try:
            with self._stream:
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
        return cupy.ndarray(shape, np.float32, memptr=memory.pointer)

    def upload(self, address: Address, values: HostArray) -> None:
        """Copy from the host by way of pinned memory."""
        self._refuse_recording("an upload")
        values = np.ascontiguousarray(values)
        if not values.nbytes:
            return
        is_small = values.nbytes <= SMALL_BYTES
        size_bytes = SMALL_BYTES if is_small else 1 << (values.nbytes - 1).bit_length()
        ring = self._rings.get(size_bytes)
        if ring is None:
            ring = self._rings[size_bytes] = _Ring(size_bytes, RING_LENGTH[is_small])
        ring.upload(self._stream, address, values)

    def inbox(self, size_bytes: int) -> CupyInbox:
        """Return memory for uploads that overlap with kernels."""
        memory = self.allocate(size_bytes)
        return CupyInbox(self._device, self._stream, self._uploads, memory, self._refuse_recording)

    @functools.cached_property
    def _uploads(self) -> Any:
        """The stream of what is uploaded ahead of time."""
        return cupy.cuda.Stream(non_blocking=True)

    def download(self, address: Address, values: HostArray) -> None:
        """Copy to the host and wait for it."""
        self.download_later(address, values)()

    def download_later(self, address: Address, values: HostArray) -> CupyDownload:
        """Begin to copy to the host, by way of pinned memory."""
        self._refuse_recording("a download")
        return CupyDownload(self._stream, address, values)

    def clear(self, address: Address, size_bytes: int) -> None:
        """Fill with zero bytes."""
        runtime.memsetAsync(address, 0, size_bytes, self._stream.ptr)

    def copy(self, source: Address, target: Address, size_bytes: int) -> None:
        """Copy within the device."""
        kind = runtime.memcpyDeviceToDevice
        runtime.memcpyAsync(target, source, size_bytes, kind, self._stream.ptr)

    def function(self, source: str, name: str, options: tuple[str, ...] = ()) -> Function:
        """Return a kernel of a source text; CuPy keeps the compiled code on disk."""
        key = (source, options)
        if key not in self._modules:
            self._refuse_recording("compiling")
            self._modules[key] = cupy.RawModule(code=source, options=("--std=c++17", *options))
        return CupyFunction(self._stream, self._modules[key].get_function(name))

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` asks for as a CUDA graph."""
        with self._stream:
            self._stream.begin_capture()
            self.is_recording = True
            try:
                work()
            except BaseException:
                self._abandon()
                raise
            finally:
                self.is_recording = False
            graph = self._stream.end_capture()
        return lambda: graph.launch(self._stream)

    @functools.cached_property
    def cublas(self) -> Any:
        """The library of cuBLAS."""
        return cublas.load()

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

    def synchronize(self) -> None:
        """Wait until everything is done."""
        self._stream.synchronize()

    def _abandon(self) -> None:
        """End a capture whose work has failed; that it has is what the caller hears of."""
        try:
            self._stream.end_capture()
        except runtime.CUDARuntimeError:
            return

    def _refuse_recording(self, what: str) -> None:
        if self.is_recording:
            raise CannotRecord(f"{what} is asked for while work is recorded")
