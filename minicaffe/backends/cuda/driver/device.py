"""The protocol of a device: memory, copies, kernel launches, graph capture.

`cupy_device` implements it on a GPU; the tests implement it with an emulator that runs the same
kernels on the CPU. The other modules use device addresses and this protocol only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol, TypeAlias

from minicaffe.backends.cuda.driver.plans import Dnn
from minicaffe.errors import BackendUnavailable
from minicaffe.ops.backend import Array, HostArray, Shape

THREADS = 256


class CannotCapture(BackendUnavailable):
    """An operation was requested during graph capture that cannot be captured."""


class Address(int):
    """A device address, passed to kernels as a pointer; a plain int is passed as int."""

    def __add__(self, size_bytes: int) -> Address:
        return Address(int(self) + size_bytes)


Argument: TypeAlias = Address | int | float
Grid: TypeAlias = int | tuple[int, int] | tuple[int, int, int]


class DeviceMemory(Protocol):
    """An allocation, which is freed with the last reference to this object."""

    @property
    def address(self) -> Address:
        """Address of the first byte, a multiple of 256."""

    @property
    def size_bytes(self) -> int:
        """Size of the allocation."""


class KernelFunction(Protocol):
    """A compiled kernel."""

    def __call__(self, grid: Grid, block: Grid, *args: Argument, shared_bytes: int = 0) -> None:
        """Launch the kernel after all work enqueued before.

        Parameters
        ----------
        grid, block : int or tuple of int
            Number of blocks, and of threads in a block, along up to three axes.
        args : Address, int or float
            Passed as pointer, int and float.
        shared_bytes : int
            Dynamic shared memory of each block.
        """


class Download(Protocol):
    """An asynchronous copy to the host."""

    @property
    def is_done(self) -> bool:
        """Whether the copy is finished."""

    def wait(self) -> None:
        """Wait until the copy is finished."""


class StagingBuffer(Protocol):
    """Device memory with a page-locked host copy, for uploads that overlap with kernels.

    The host fills `host` and calls `upload`; kernels launched between `acquire` and `release` read
    the device memory; then the buffer may be filled again. Another thread may call `wait` and
    `upload`, also during graph capture.

    Attributes
    ----------
    address : Address
        Where kernels read.
    host : ndarray, uint8
        To be filled; page-locked, so that the copy is asynchronous.
    """

    address: Address
    host: HostArray

    def wait(self) -> None:
        """Wait until the last upload is finished, so that `host` may be filled."""

    def upload(self) -> None:
        """Start the upload, after the kernels launched before `release` have finished."""

    def acquire(self) -> None:
        """Make kernels launched from now on wait for the upload."""

    def release(self) -> None:
        """Mark the end of the kernels that read the buffer."""


class Device(Protocol):
    """One GPU, or an emulator; work is executed in the order in which it is enqueued.

    During graph capture only launches, `clear`, `copy` and library calls are allowed; all other
    methods raise `CannotCapture`.
    """

    name: str
    pci_bus: str  # address of the GPU in its machine
    capability: tuple[int, int]
    multiprocessors: int
    is_capturing: bool

    @property
    def xp(self) -> ModuleType:
        """The array module of `array`."""

    @property
    def description(self) -> str:
        """Name of the GPU and versions, for the log."""

    @property
    def cublas(self) -> Any:  # a ctypes library, whose functions are attributes of unknown type
        """The ctypes library of cuBLAS."""

    @property
    def dnns(self) -> Sequence[Dnn]:
        """The libraries that plan convolutions, the preferred one first; empty without cuDNN."""

    @property
    def stream(self) -> int:
        """The CUDA stream, for libraries."""

    def memory(self) -> tuple[int, int]:
        """Return free and total memory, bytes."""

    def allocate(self, size_bytes: int) -> DeviceMemory:
        """Return new memory with undefined contents.

        Raises
        ------
        DeviceMemoryError
            If there is not enough memory.
        """

    def array(self, memory: DeviceMemory, shape: Shape) -> Array:
        """Return a C-order float32 array of `xp` over the beginning of an allocation."""

    def upload(self, address: Address, values: HostArray) -> None:
        """Copy from the host; `values` may be changed as soon as this returns."""

    def download(self, address: Address, values: HostArray) -> None:
        """Copy to the host and wait for the copy."""

    def download_async(self, address: Address, values: HostArray) -> Download:
        """Start a copy to the host."""

    def staging(self, size_bytes: int) -> StagingBuffer:
        """Return a new staging buffer.

        Raises
        ------
        DeviceMemoryError
            If there is not enough memory.
        """

    def clear(self, address: Address, size_bytes: int) -> None:
        """Fill with zero bytes."""

    def copy(self, source: Address, target: Address, size_bytes: int) -> None:
        """Copy within the device."""

    def function(self, source: str, name: str, options: tuple[str, ...] = ()) -> KernelFunction:
        """Return a kernel of a CUDA source text, compiled once for each source and options."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture the operations that `work` enqueues; return a function that replays them."""

    def milliseconds(self, work: Callable[[], None]) -> float:
        """Run `work` and return the device time that it takes."""

    def make_current(self) -> None:
        """Make this device the current one of the calling thread."""

    def synchronize(self) -> None:
        """Wait until all work is finished."""


def blocks(n: int) -> int:
    """Return the number of blocks of `THREADS` threads for a grid-stride loop over n elements."""
    return max(1, min((n + THREADS - 1) // THREADS, MAX_BLOCKS))


# Fills every multiprocessor of present GPUs several times over.
MAX_BLOCKS = 4096
