"""What the tensors and kernels of one cuda backend share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from minicaffe.backends.cuda.driver.device import THREADS, Address, Device, DeviceMemory, blocks
from minicaffe.backends.cuda.driver.sources import Kernels
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.label_errors import LabelErrors
from minicaffe.backends.cuda.runtime.launch_parameters import LaunchParameters
from minicaffe.backends.cuda.runtime.loss_scale import LossScale
from minicaffe.backends.cuda.runtime.tensor_state import TensorState
from minicaffe.backends.lock import BackendLock, locked
from minicaffe.ops.backend import Future, HostArray, Shape

if TYPE_CHECKING:
    from minicaffe.backends.cuda.runtime.tensor import CudaTensor

TILE, TILE_ROWS = 32, 8  # as in kernels/convert.cu


ONE_PROCESS = (
    "CUDA works in one of the two only. Start processes that use a GPU with multiprocessing's "
    '"spawn", and make nets in them.'
)


class TensorUse(NamedTuple):
    """A tensor when a piece of work first used it.

    Parameters
    ----------
    state : TensorState
    is_read : bool
        Whether the work began with the values, instead of overwriting them.
    mark : object
        See `CudaTensor.write_token`.
    undo : callable
        Puts all notes back to what they were.
    """

    state: TensorState
    is_read: bool
    token: object
    undo: Callable[[], None]


class AccessLog:
    """Notes what a piece of work does with tensors.

    Attributes
    ----------
    seen : dict
        Each tensor that native kernels used, as it was before that.
    uses_host : bool
        Whether somebody else saw values (a reference kernel, the host): that cannot be recorded.
    """

    def __init__(self) -> None:
        self.uses: dict[CudaTensor, TensorUse] = {}
        self.uses_host = False

    def undo(self) -> None:
        """Forget what the work would have done: the notes of all tensors are as before."""
        for seen in reversed(self.uses.values()):
            seen.undo()


class Session:
    """The device with its kernels, scratch memory and values that change in every run.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        # Scratch memory, what is noted of tensors, and recordings are everybody's; and CUDA
        # launches to the device that the calling thread has chosen.
        self.lock = BackendLock(device.make_current, ONE_PROCESS)
        self.kernels = Kernels(device)
        self.launch_parameters = LaunchParameters(device)
        self.label_errors = LabelErrors(device)
        self.access_log = AccessLog()
        # Counts what makes recordings void: new plans, other fusions, other shapes.
        self.version = 0
        # Those that recordings begin or end with, each once.
        self.states: dict[TensorState, TensorState] = {}
        # Of gradients in float16, where activations are that.
        self.scale: LossScale | None = None
        self._scratch: dict[str, DeviceMemory] = {}

    def scratch(self, size_bytes: int, purpose: str = "") -> Address:
        """Return memory that the next call for the same purpose may return again.

        It holds what one kernel hands to the next within one call. What is recorded keeps the
        memory that it was given: see `Device.capture`.
        """
        memory = self._scratch.get(purpose)
        if memory is None or memory.size_bytes < size_bytes:
            memory = self.device.allocate(size_bytes)
            self._scratch[purpose] = memory
        return memory.address

    @property
    def scratch_memory(self) -> list[DeviceMemory]:
        """Scratch memory as it is now."""
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
        """Write the values of a tensor in another format; into or out of a scale, where given."""
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
        """Begin to fetch float values."""
        return CudaFuture(self, address, shape)


class CudaFuture:
    """An asynchronous copy from the device; a `minicaffe.ops.backend.Future`."""

    def __init__(self, session: Session, address: Address, shape: Shape) -> None:
        self._values = np.empty(shape, np.float32)
        self._session = session
        self._download = session.device.download_async(address, self._values)

    @property
    def is_done(self) -> bool:
        """Whether a call would return without waiting."""
        return self._download.is_done

    @locked
    def result(self) -> HostArray:
        """Return the values; raise what a kernel has found wrong with labels."""
        self._download.wait()
        if np.isnan(self._values).any():
            self._session.label_errors.raise_if_any()
        return self._values
