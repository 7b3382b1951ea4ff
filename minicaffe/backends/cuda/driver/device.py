"""What the cuda backend asks of a machine: memory, copies, kernels, recording.

`cupy_device` answers on a GPU; the tests have a device that runs the same kernels on the CPU. The
rest of the package knows addresses and this protocol only.
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
    """While recording, something was asked for that cannot be recorded."""


class Address(int):
    """Where something lies in device memory; kernels take it as a pointer, a plain int as int."""

    def __add__(self, size_bytes: int) -> Address:
        return Address(int(self) + size_bytes)


Argument: TypeAlias = Address | int | float
Grid: TypeAlias = int | tuple[int, int] | tuple[int, int, int]


class DeviceMemory(Protocol):
    """An allocation: given back when nobody holds on to the object any more."""

    @property
    def address(self) -> Address:
        """Where it begins, a multiple of 256."""
        ...

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        ...


class KernelFunction(Protocol):
    """A compiled kernel."""

    def __call__(self, grid: Grid, block: Grid, *args: Argument, shared_bytes: int = 0) -> None:
        """Launch it behind what was asked for before.

        Parameters
        ----------
        grid, block : int or tuple of int
            Blocks, and threads in a block, along up to three axes.
        args : Address, int or float
            What the kernel takes as pointer, int and float.
        shared_bytes : int
            Dynamic shared memory of a block.
        """
        ...


class Download(Protocol):
    """A copy to the host that may not be done yet."""

    @property
    def is_done(self) -> bool:
        """Whether it is done."""
        ...

    def wait(self) -> None:
        """Wait until it is done."""
        ...


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
        ...

    def upload(self) -> None:
        """Start the upload, after the kernels launched before `release` have finished."""
        ...

    def acquire(self) -> None:
        """Make kernels launched from now on wait for the upload."""
        ...

    def release(self) -> None:
        """Mark the end of the kernels that read the buffer."""
        ...


class Device(Protocol):
    """One GPU, or what stands in for it. Everything happens in the order in which it is asked for.

    While recording, only launches, `clear`, `copy` and library calls are allowed; anything
    else raises `CannotCapture`.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    is_capturing: bool

    @property
    def xp(self) -> ModuleType:
        """The array module of `array`."""
        ...

    @property
    def description(self) -> str:
        """Card and versions, for the log."""
        ...

    @property
    def cublas(self) -> Any:
        """Ctypes library with cuBLAS's functions."""
        ...

    @property
    def dnns(self) -> Sequence[Dnn]:
        """What plans convolutions, the best first; none without cuDNN."""
        ...

    @property
    def stream(self) -> int:
        """The CUDA stream, for libraries."""
        ...

    def memory(self) -> tuple[int, int]:
        """Return free and total memory, bytes."""
        ...

    def allocate(self, size_bytes: int) -> DeviceMemory:
        """Return new memory; what it holds is undefined.

        Raises
        ------
        DeviceMemoryError
            If there is not enough.
        """
        ...

    def array(self, memory: DeviceMemory, shape: Shape) -> Array:
        """Return a float32 array of `xp` over the beginning of a memory, in C order."""
        ...

    def upload(self, address: Address, values: HostArray) -> None:
        """Copy from the host; `values` may be changed as soon as this returns."""
        ...

    def download(self, address: Address, values: HostArray) -> None:
        """Copy to the host and wait for it."""
        ...

    def download_async(self, address: Address, values: HostArray) -> Download:
        """Begin to copy to the host."""
        ...

    def staging(self, size_bytes: int) -> StagingBuffer:
        """Return a new staging.

        Raises
        ------
        DeviceMemoryError
            If there is not enough memory.
        """
        ...

    def clear(self, address: Address, size_bytes: int) -> None:
        """Fill with zero bytes."""
        ...

    def copy(self, source: Address, target: Address, size_bytes: int) -> None:
        """Copy within the device."""
        ...

    def function(self, source: str, name: str, options: tuple[str, ...] = ()) -> KernelFunction:
        """Return a kernel of a CUDA source text, compiled once for each source and options."""
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` asks for without doing it; calling what is returned does it."""
        ...

    def milliseconds(self, work: Callable[[], None]) -> float:
        """Return the time that the device takes for `work`."""
        ...

    def make_current(self) -> None:
        """Have what the calling thread asks for from now on happen on this device."""
        ...

    def synchronize(self) -> None:
        """Wait until everything is done."""
        ...


def blocks(n: int) -> int:
    """Return how many blocks of `THREADS` threads a grid-stride loop over n elements gets."""
    return max(1, min((n + THREADS - 1) // THREADS, MAX_BLOCKS))


# Enough to fill every multiprocessor of today's cards several times over.
MAX_BLOCKS = 4096
