"""State shared by the tensors and kernels of one cuda backend: device, lock, scratch memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from minicaffe.backends.cuda.driver.device import THREADS, Address, Device, DeviceMemory, blocks
from minicaffe.backends.cuda.driver.sources import Kernels
from minicaffe.backends.cuda.runtime.access_log import AccessLog
from minicaffe.backends.cuda.runtime.change_log import ChangeLog
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.label_errors import LabelErrors
from minicaffe.backends.cuda.runtime.launch_parameters import LaunchParameters
from minicaffe.backends.cuda.runtime.loss_scale import LossScale
from minicaffe.backends.cuda.runtime.tensor_state import TensorState
from minicaffe.backends.lock import BackendLock, locked
from minicaffe.ops.backend import Future, HostArray, Shape

TILE, TILE_ROWS = 32, 8  # as in kernels/_convert.cu


ONE_PROCESS = (
    "CUDA works in only one of the two processes. Start processes that use a GPU with "
    'multiprocessing\'s "spawn", and create the nets in them.'
)


class Session:
    """The device with its kernels, scratch memory, launch parameters and lock.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        # Threads share scratch memory, tensor states and graphs; and CUDA launches on the current
        # device of the calling thread.
        self.lock = BackendLock(device.make_current, ONE_PROCESS)
        self.kernels = Kernels(device)
        self.launch_parameters = LaunchParameters(device)
        self.label_errors = LabelErrors(device)
        # Only while a task is logged: a log refers to its tensors, which would outlive their net.
        self.access_log: AccessLog | None = None
        # Incremented by what invalidates captured graphs: new plans, fusions, shapes.
        self.version = 0
        self.changes = ChangeLog()
        # Interned states before and after graphs.
        self.states: dict[TensorState, TensorState] = {}
        # Set if activations are float16.
        self.scale: LossScale | None = None
        self._scratch: dict[str, DeviceMemory] = {}

    @contextmanager
    def log_accesses(self) -> Iterator[AccessLog]:
        """Log the accesses to tensors inside the block."""
        outer, log = self.access_log, AccessLog()
        self.access_log = log
        try:
            yield log
        finally:
            self.access_log = outer

    def log_host_access(self) -> None:
        """Log that values are accessed outside of kernels: such a task cannot be captured."""
        if self.access_log is not None:
            self.access_log.uses_host = True

    def scratch(self, size_bytes: int, purpose: str = "") -> Address:
        """Return scratch memory, which the next call for the same purpose may return again.

        It holds what one kernel passes to the next within one call. A captured graph keeps the
        memory that it uses alive: see `CapturedGraph`.
        """
        memory = self._scratch.get(purpose)
        if memory is None or memory.size_bytes < size_bytes:
            memory = self.device.allocate(size_bytes)
            self._scratch[purpose] = memory
        return memory.address

    @property
    def scratch_memory(self) -> list[DeviceMemory]:
        """The present allocations of scratch memory."""
        return list(self._scratch.values())

    def convert(
        self,
        shape: Shape,
        source: Address,
        given: Format,
        target: Address,
        wanted: Format,
        scale: Address,
    ) -> None:
        """Convert values to another format; apply or remove the loss scale, if there is one."""
        types = f"FROM={given.value}", f"TO={wanted.value}"
        n = math.prod(shape)
        if not n:
            return
        if given.channels_last == wanted.channels_last:
            self.kernels("_convert", "cast", *types)(blocks(n), THREADS, source, target, n, scale)
            return
        outer, channels, pixels = shape[0], shape[1], math.prod(shape[2:])
        rows, columns = (pixels, channels) if given.channels_last else (channels, pixels)
        across, down = -(-columns // TILE), -(-rows // TILE)
        self.kernels("_convert", "transpose", *types)(
            across * down * outer,
            (TILE, TILE_ROWS, 1),
            *(source, target, rows, columns, across, down, scale),
        )

    def get_async(self, address: Address, shape: Shape) -> Future:
        """Start a copy of float values to the host and return its future."""
        return CudaFuture(self, address, shape)


class CudaFuture:
    """An asynchronous copy from the device; a `minicaffe.ops.backend.Future`."""

    def __init__(self, session: Session, address: Address, shape: Shape) -> None:
        self._values = np.empty(shape, np.float32)
        self._session = session
        self._download = session.device.download_async(address, self._values)

    @property
    def is_done(self) -> bool:
        """Whether `result` would return without waiting."""
        return self._download.is_done

    @locked
    def result(self) -> HostArray:
        """Wait for the values and return them; raise a LabelError that a kernel has found."""
        self._download.wait()
        if np.isnan(self._values).any():
            self._session.label_errors.raise_if_any()
        return self._values
