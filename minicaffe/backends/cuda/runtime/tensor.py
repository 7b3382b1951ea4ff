"""Tensors in device memory, stored in the formats that kernels request, with lazy conversion.

A tensor's newest values are in one or several buffers, one for each `Format`. A kernel requests a
format with `source` and `target`; values are converted only if no buffer holds them in that format.
The plain buffer (C order, float32) belongs to a storage, which tensors of other shapes may share
(`view`); each of them compares a token to detect writes by the others.

`host` returns a mirror in host memory, like Caffe's SyncedMemory: each call downloads what the
device has written since, and what the host writes is uploaded when a kernel next reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from minicaffe.backends.cuda.driver.device import Address, CannotCapture, DeviceMemory
from minicaffe.backends.cuda.runtime.access_log import TensorUse
from minicaffe.backends.cuda.runtime.format import PLAIN, Format
from minicaffe.backends.cuda.runtime.loss_scale import LossScale, scale_address
from minicaffe.backends.cuda.runtime.session import Session
from minicaffe.backends.cuda.runtime.storage import Buffers, SharedArena, Storage
from minicaffe.backends.cuda.runtime.tensor_state import TensorState
from minicaffe.backends.lock import locked
from minicaffe.backends.reference.tensor import CompletedFuture
from minicaffe.ops.backend import Array, Future, HostArray, Shape


class CudaTensor:
    """A logical C-order array in device memory."""

    def __init__(self, session: Session, shape: Shape, storage: Storage | None = None) -> None:
        self._session = session
        self._storage = storage or Storage()
        self._token = self._storage.token if storage is None else object()
        self._buffers = Buffers(session.device, shape)
        self._generation = 0
        # Cache of the state; None after a change.
        self._cached_state: TensorState | None = None

    @property
    def shape(self) -> Shape:
        """Sizes of the logical axes."""
        return self._buffers.shape

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def format(self) -> Format:
        """The format that the values were last written in: the one that needs no conversion."""
        self._sync_state()
        return self._buffers.newest

    @property
    def storage(self) -> object:
        """An object that tensors over the same memory share."""
        return self._storage

    @property
    def taken_bytes(self) -> int:
        """Memory that the values take now, in all formats, bytes."""
        return self._buffers.size_bytes(self._storage)

    # The public interface: plain arrays.

    @locked
    def read(self) -> Array:
        """Return the values as an array of the device, in C order."""
        self._session.log_host_access()
        self._source(PLAIN)
        return self._array()

    @locked
    def write(self) -> Array:
        """Return the plain array to be overwritten; its contents are undefined."""
        self._session.log_host_access()
        self._target(PLAIN)
        return self._array()

    @locked
    def update(self) -> Array:
        """Return the values as an array of the device that the caller may change."""
        array = self.read()
        self._target(PLAIN)
        return array

    def get(self) -> HostArray:
        """Return a copy in host memory."""
        return self.get_async().result()

    @locked
    def get_async(self) -> Future:
        """Start a copy to host memory and return its future."""
        self._session.log_host_access()
        self._sync_state()
        if self._storage.is_zero:
            return CompletedFuture(np.zeros(self.shape, np.float32))
        return self._session.get_async(self._plain_copy(), self.shape)

    @locked
    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the values with an array of the host."""
        self._session.log_host_access()
        # `upload` copies the values, so contiguous ones are not copied here.
        full = np.broadcast_to(np.asarray(values, np.float32), self.shape)
        self._session.device.upload(self._target(PLAIN), np.ascontiguousarray(full))

    @locked
    def clear(self) -> None:
        """Set all values to zero lazily: memory is written when the values are read."""
        self._log_use(is_read=False)
        storage = self._storage
        self._renew()
        storage.is_zero = True
        self._buffers.ready = frozenset()
        self._buffers.newest = PLAIN

    @locked
    def host(self) -> HostArray:
        """Return the mirror in host memory, up to date; kernels read later host writes."""
        self._session.log_host_access()
        self._sync_state()
        storage = self._storage
        if storage.mirror is None or storage.mirror.size < self.size:
            storage.mirror, storage.is_mirror_current = np.zeros(self.size, np.float32), False
        view = storage.mirror[: self.size].reshape(self.shape)
        if not storage.is_mirror_current:
            view[...] = self.get()
            storage.is_mirror_current = True
        storage.may_host_be_newer = True
        return view

    @locked
    def reshape(self, shape: Shape) -> None:
        """Change the shape; values are kept if they fit, otherwise all are zero."""
        if shape == self.shape:
            return
        self._session.log_host_access()
        self._sync_state()
        storage = self._storage
        if not storage.is_zero:
            fits = math.prod(shape) <= self.size
            if fits and storage.arena is None:
                self._source(PLAIN)
            self._target(PLAIN)
            # A gradient that no layer writes counts as zero, also in new memory.
            storage.is_zero = not fits and storage.arena is None
        if storage.is_zero:
            # Memory that was cleared already is of the old shape.
            self._buffers.ready = frozenset()
        self._buffers.reshape(storage, shape)
        self._generation += 1
        self._cached_state = None
        self._session.version += 1

    def view(self, shape: Shape) -> CudaTensor:
        """Return a tensor of another shape over the same memory."""
        view = CudaTensor(self._session, shape, self._storage)
        view._buffers.scale = self._buffers.scale
        return view

    def use_scale(self) -> None:
        """Apply the session's loss scale, if any, to the float16 values of this tensor."""
        self._buffers.scale = self._session.scale

    def share_memory_with(self, other: CudaTensor) -> None:
        """Share memory with `other` from now on, views included; the values of both are lost."""
        arena = other._storage.arena
        if arena is None:
            arena = SharedArena(self._session.device)
            other._take(arena)
        self._take(arena)

    # The interface for kernels: addresses of values in a format.

    def scale(self, form: Format) -> LossScale | None:
        """Return the loss scale of the values in a format, or None."""
        return self._buffers.scale if form.value == "float16" else None

    def source(self, wanted: Format = PLAIN) -> Address:
        """Return the address of the values in this format."""
        self._log_use()
        return self._source(wanted)

    def target(self, wanted: Format = PLAIN) -> Address:
        """Return the address of a buffer in this format, all of which the caller will overwrite."""
        self._log_use(is_read=False)
        return self._target(wanted)

    def change(self, wanted: Format = PLAIN) -> Address:
        """Return the address of the values in this format, which the caller may change."""
        self._log_use()
        self._source(wanted)
        return self._target(wanted)

    def accumulate(self, wanted: Format = PLAIN) -> tuple[Address, bool]:
        """Return the address of an accumulator in this format, and whether to overwrite it.

        The second is true after `clear`, when the contents of the memory are undefined.
        """
        self._log_use()
        self._sync_state()
        is_first = self._storage.is_zero
        return (self.target(wanted) if is_first else self.change(wanted)), is_first

    # The interface for graph capture; see `TrackedTensor`.

    @locked
    def flush_host_writes(self) -> None:
        """Upload what the host has written to the mirror."""
        self._sync_state()

    def state(self) -> TensorState:
        """Return the state that decides which operations kernels enqueue."""
        self._sync_state()
        return self._state()

    def write_token(self) -> object:
        """Return an object that every write replaces."""
        return self._storage.token

    def state_if_newest(self) -> TensorState | None:
        """Return the state, or None if another tensor has written since; converts nothing."""
        return self._state() if self._token is self._storage.token else None

    def matches(self, wanted: TensorState) -> bool:
        """Return whether a graph that was captured in this state may be launched now."""
        storage = self._storage
        is_known = self._token is storage.token and not storage.may_host_be_newer
        if is_known and self._cached_state is wanted:  # the fast path: a net has many tensors
            return True
        state = self.state()
        if state == wanted:
            self._cached_state = wanted
            return True
        return state.matches(wanted)

    def set_state(self, state: TensorState) -> None:
        """Set the state that a launched graph has written."""
        self._renew()
        self._storage.is_zero = state.is_zero
        self._storage.owner = None if state.is_shared else self._buffers
        self._buffers.ready, self._buffers.newest = state.formats, state.newest
        self._cached_state = state

    def add_formats(self, formats: frozenset[Format]) -> None:
        """Mark formats as valid that a launched graph has converted the values to."""
        if formats <= self._buffers.ready:
            return
        self._buffers.ready |= formats
        self._cached_state = None
        if PLAIN in formats:
            self._storage.owner = None

    # Implementation.

    def _state(self) -> TensorState:
        is_zero = self._storage.is_zero
        ready, newest = self._buffers.ready, self._buffers.newest
        is_shared = is_zero or PLAIN in ready
        return TensorState(self._generation, ready, newest, is_zero, is_shared)

    def _log_use(self, is_read: bool = True) -> None:
        log = self._session.access_log
        if log is None or self in log.uses:
            return
        undo = self._undo()
        try:
            state = self.state()
        except CannotCapture:
            undo()
            raise
        log.uses[self] = TensorUse(state, is_read, self.write_token(), undo)

    def _undo(self) -> Callable[[], None]:
        """Return a function that restores the present bookkeeping."""
        token, cached_state = self._token, self._cached_state
        ready, newest = self._buffers.ready, self._buffers.newest
        shared = dict(vars(self._storage))

        def undo() -> None:
            self._token, self._cached_state = token, cached_state
            self._buffers.ready, self._buffers.newest = ready, newest
            vars(self._storage).update(shared)

        return undo

    def _sync_state(self) -> None:
        """Account for writes by the host or by a tensor over the same memory."""
        storage = self._storage
        if storage.may_host_be_newer:
            self._upload_mirror()
        elif self._token is not storage.token:
            if storage.owner is not None:
                self._write_plain(storage.owner)
            self._token = storage.token
            self._buffers.ready = frozenset(() if storage.is_zero else (PLAIN,))
            self._buffers.newest = PLAIN
            self._cached_state = None

    def _upload_mirror(self) -> None:
        storage = self._storage
        storage.may_host_be_newer = False
        if storage.mirror is None:
            return
        self._session.log_host_access()
        self._session.device.upload(self._target(PLAIN), storage.mirror[: self.size])
        storage.is_mirror_current = True

    def _write_plain(self, owner: Buffers) -> None:
        """Convert values that only the buffers of another tensor hold into the plain memory."""
        self._convert(owner, owner.get(self._storage, PLAIN).address, PLAIN)
        owner.ready |= {PLAIN}
        self._storage.owner = None

    def _source(self, wanted: Format) -> Address:
        self._sync_state()
        storage, buffers = self._storage, self._buffers
        wanted = wanted.on(buffers.shape)
        address = self._buffer(wanted).address
        if wanted not in buffers.ready:
            if storage.is_zero:
                self._session.device.clear(address, wanted.size_bytes(buffers.shape))
            else:
                self._convert(buffers, address, wanted)
                if wanted == PLAIN:
                    storage.owner = None
            # A scaled copy is not cached, because the scale may change before the values do.
            if self.scale(wanted) is None:
                buffers.ready |= {wanted}
                self._cached_state = None
        return address

    def _target(self, wanted: Format) -> Address:
        storage, buffers = self._storage, self._buffers
        wanted = wanted.on(buffers.shape)
        self._renew()
        storage.is_zero = False
        storage.owner = None if wanted == PLAIN else buffers
        buffers.ready, buffers.newest = frozenset((wanted,)), wanted
        return self._buffer(wanted).address

    def _renew(self) -> None:
        """Mark this tensor as the one that holds the newest values."""
        storage = self._storage
        storage.token = self._token = object()
        self._cached_state = None
        storage.owner = None
        storage.is_mirror_current = False
        storage.may_host_be_newer = False

    def _buffer(self, wanted: Format) -> DeviceMemory:
        return self._buffers.get(self._storage, wanted)

    def _take(self, arena: SharedArena) -> None:
        self._buffers.take(self._storage, arena)
        self._generation += 1
        self._session.version += 1
        self.clear()

    def _plain_copy(self) -> Address:
        """Return the address of the values in C order, in scratch memory unless they are plain."""
        if PLAIN in self._buffers.ready:
            return self._buffer(PLAIN).address
        session = self._session
        address = session.scratch(PLAIN.size_bytes(self.shape), "copy")
        self._convert(self._buffers, address, PLAIN)
        return address

    def _convert(self, buffers: Buffers, to: Address, wanted: Format) -> None:
        """Convert the newest values of a tensor to another format, at address `to`."""
        given = buffers.newest
        scale = scale_address(buffers.scale if given.value != wanted.value else None)
        newest = buffers.get(self._storage, given).address
        self._session.convert(buffers.shape, newest, given, to, wanted, scale)

    def _array(self) -> Array:
        return self._session.device.array(self._buffer(PLAIN), self.shape)

    def __repr__(self) -> str:
        return f"CudaTensor{self.shape}"
