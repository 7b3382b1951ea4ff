"""Tensors in device memory, in whatever formats kernels asked for.

A tensor's newest values lie in one or several buffers, one for each `Format`. A kernel names the
format it wants with `source` and `target`; values are converted only if no buffer has them in it.
The plain buffer (C order, float32) belongs to a storage, which tensors of other shapes may share
(`view`); a token tells each of them whether somebody else has written since.

`host` gives a mirror in host memory, as Caffe's SyncedMemory does: each call fetches what the
device has written since, and what the host writes to it goes to the device when a kernel next
reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from minicaffe.backends.cuda.driver.device import Address, CannotCapture, DeviceMemory
from minicaffe.backends.cuda.runtime.format import PLAIN, Format
from minicaffe.backends.cuda.runtime.loss_scale import LossScale, scale_address
from minicaffe.backends.cuda.runtime.session import Session, TensorUse
from minicaffe.backends.cuda.runtime.storage import Buffers, SharedArena, Storage
from minicaffe.backends.cuda.runtime.tensor_state import TensorState
from minicaffe.backends.lock import locked
from minicaffe.backends.reference.tensor import CompletedFuture
from minicaffe.ops.backend import Array, Future, HostArray, Shape


class CudaTensor:
    """A logical C-ordered array of numbers in device memory."""

    def __init__(self, session: Session, shape: Shape, storage: Storage | None = None) -> None:
        self._session = session
        self._shape = shape
        self._storage = storage or Storage()
        self._token = self._storage.token if storage is None else object()
        self._buffers = Buffers(session.device, self._storage)
        self._ready: frozenset[Format] = frozenset()
        self._newest = PLAIN
        self._generation = 0
        # The state, while nothing has changed since it was last asked for.
        self._noted: TensorState | None = None
        # Of what is held in float16; see `loss_scale`.
        self._scale: LossScale | None = None

    @property
    def shape(self) -> Shape:
        """Sizes of the logical axes."""
        return self._shape

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self._shape)

    @property
    def format(self) -> Format:
        """The format that the values were last written in: what a kernel best follows."""
        self._sync_state()
        return self._newest

    @property
    def storage(self) -> object:
        """An object that tensors over the same memory share."""
        return self._storage

    @property
    def taken_bytes(self) -> int:
        """The memory that holds the values now, in all formats."""
        return self._buffers.size_bytes

    # What everybody may use: plain arrays.

    @locked
    def read(self) -> Array:
        """Return the values as an array of the device, in C order."""
        self._session.access_log.uses_host = True
        self._source(PLAIN)
        return self._array()

    @locked
    def write(self) -> Array:
        """Return the plain array; what it holds is undefined, and it is newest from now on."""
        self._session.access_log.uses_host = True
        self._target(PLAIN)
        return self._array()

    @locked
    def update(self) -> Array:
        """Return the values as an array of the device, newest from now on."""
        array = self.read()
        self._target(PLAIN)
        return array

    def get(self) -> HostArray:
        """Return a copy in host memory."""
        return self.get_async().result()

    @locked
    def get_async(self) -> Future:
        """Begin to fetch a copy."""
        self._session.access_log.uses_host = True
        self._sync_state()
        if self._storage.is_zero:
            return CompletedFuture(np.zeros(self._shape, np.float32))
        return self._session.get_async(self._plain_copy(), self._shape)

    @locked
    def set(self, values: npt.ArrayLike) -> None:
        """Overwrite the values with an array of the host."""
        self._session.access_log.uses_host = True
        # No copy of what lies as it is wanted already: the device makes its own.
        full = np.broadcast_to(np.asarray(values, np.float32), self._shape)
        self._session.device.upload(self._target(PLAIN), np.ascontiguousarray(full))

    @locked
    def clear(self) -> None:
        """Overwrite all values with zero: a note, until somebody reads."""
        self._watched(is_read=False)
        storage = self._storage
        self._renew()
        storage.is_zero = True
        self._ready = frozenset()
        self._newest = PLAIN

    @locked
    def host(self) -> HostArray:
        """Return the mirror in host memory, up to date; see the module about when it is read."""
        self._session.access_log.uses_host = True
        self._sync_state()
        storage = self._storage
        if storage.mirror is None or storage.mirror.size < self.size:
            storage.mirror, storage.is_mirror_current = np.zeros(self.size, np.float32), False
        view = storage.mirror[: self.size].reshape(self._shape)
        if not storage.is_mirror_current:
            view[...] = self.get()
            storage.is_mirror_current = True
        storage.may_host_be_newer = True
        return view

    @locked
    def reshape(self, shape: Shape) -> None:
        """Change the shape; values are kept where they fit."""
        if shape == self._shape:
            return
        self._session.access_log.uses_host = True
        self._sync_state()
        storage = self._storage
        if not storage.is_zero:
            if math.prod(shape) <= self.size and storage.arena is None:
                self._source(PLAIN)
            self._target(PLAIN)
        self._buffers.reshape(shape)
        self._shape = shape
        self._generation += 1
        self._noted = None
        self._session.version += 1

    def view(self, shape: Shape) -> CudaTensor:
        """Return a tensor of another shape over the same memory."""
        view = CudaTensor(self._session, shape, self._storage)
        view._scale = self._scale
        return view

    def use_scale(self) -> None:
        """Hold gradients: times the session's scale in float16, where it has one."""
        self._scale = self._session.scale

    def share_memory_with(self, other: CudaTensor) -> None:
        """Use the memory of `other` from now on, views included; values of both are lost."""
        arena = other._storage.arena
        if arena is None:
            arena = SharedArena(self._session.device)
            other._take(arena)
        self._take(arena)

    # What kernels of this backend use: addresses of values in a format.

    def scale(self, form: Format) -> LossScale | None:
        """Return the scale that values have in a format, if they have one."""
        return self._scale if form.value == "float16" else None

    def source(self, wanted: Format = PLAIN) -> Address:
        """Return where the values lie in this format."""
        self._watched()
        return self._source(wanted)

    def target(self, wanted: Format = PLAIN) -> Address:
        """Return where to write values in this format, all of them; newest from now on."""
        self._watched(is_read=False)
        return self._target(wanted)

    def change(self, wanted: Format = PLAIN) -> Address:
        """Return where the values lie in this format, to be changed; newest from now on."""
        self._watched()
        self._source(wanted)
        return self._target(wanted)

    def accumulate(self, wanted: Format = PLAIN) -> tuple[Address, bool]:
        """Return where to add values in this format, and whether to overwrite instead.

        The latter is the case after `clear`: what is there then is undefined.
        """
        self._watched()
        self._sync_state()
        is_first = self._storage.is_zero
        return (self.target(wanted) if is_first else self.change(wanted)), is_first

    # What recordings use.

    @locked
    def flush_host_writes(self) -> None:
        """Have the device know what the host has written."""
        self._sync_state()

    def state(self) -> TensorState:
        """Return the state that decides what kernels do with this tensor."""
        self._sync_state()
        return self._state()

    def write_token(self) -> object:
        """Return an object that is another one after every write."""
        return self._storage.token

    def state_if_newest(self) -> TensorState | None:
        """Return the state, or None if somebody else has written; nothing is converted."""
        return self._state() if self._token is self._storage.token else None

    def matches(self, wanted: TensorState) -> bool:
        """Return whether a recording that begins with this state may begin now."""
        storage = self._storage
        is_known = self._token is storage.token and not storage.may_host_be_newer
        if is_known and self._noted is wanted:  # nearly always, and a net has many tensors
            return True
        state = self.state()
        if state == wanted:
            self._noted = wanted
            return True
        return state.matches(wanted)

    def set_state(self, state: TensorState) -> None:
        """Take over the state in which a recording that writes the tensor leaves it."""
        self._renew()
        self._storage.is_zero = state.is_zero
        self._storage.owner = None if state.is_shared else self
        self._ready, self._newest = state.formats, state.newest
        self._noted = state

    def add_formats(self, formats: frozenset[Format]) -> None:
        """Note that a recording that only reads the tensor has made it ready in these formats."""
        if formats <= self._ready:
            return
        self._ready |= formats
        self._noted = None
        if PLAIN in formats:
            self._storage.owner = None

    # How it works inside.

    def _state(self) -> TensorState:
        is_zero = self._storage.is_zero
        is_shared = is_zero or PLAIN in self._ready
        return TensorState(self._generation, self._ready, self._newest, is_zero, is_shared)

    def _watched(self, is_read: bool = True) -> None:
        seen = self._session.access_log.uses
        if self not in seen:
            undo = self._undo()
            try:
                state = self.state()
            except CannotCapture:
                undo()
                raise
            seen[self] = TensorUse(state, is_read, self.write_token(), undo)

    def _undo(self) -> Callable[[], None]:
        """Return what puts all notes back to what they are now."""
        mine = {name: getattr(self, name) for name in ("_token", "_newest", "_ready", "_noted")}
        storage, theirs = self._storage, dict(vars(self._storage))

        def undo() -> None:
            vars(self).update(mine)
            vars(storage).update(theirs)

        return undo

    def _sync_state(self) -> None:
        """Take notice of what the host, or a tensor over the same memory, has written."""
        storage = self._storage
        if storage.may_host_be_newer:
            self._take_from_host()
        elif self._token is not storage.token:
            if storage.owner is not None:
                storage.owner._source(PLAIN)
                storage.owner = None
            self._token = storage.token
            self._ready = frozenset(() if storage.is_zero else (PLAIN,))
            self._newest = PLAIN
            self._noted = None

    def _take_from_host(self) -> None:
        storage = self._storage
        storage.may_host_be_newer = False
        if storage.mirror is None:
            return
        self._session.access_log.uses_host = True
        self._session.device.upload(self._target(PLAIN), storage.mirror[: self.size])
        storage.is_mirror_current = True

    def _source(self, wanted: Format) -> Address:
        self._sync_state()
        wanted = wanted.on(self._shape)
        address = self._buffer(wanted).address
        if wanted not in self._ready:
            if self._storage.is_zero:
                self._session.device.clear(address, wanted.size_bytes(self._shape))
            else:
                self._convert(address, wanted)
                if wanted == PLAIN:
                    self._storage.owner = None
            # A copy with a scale is made anew each time: the scale may change before the values do.
            if self.scale(wanted) is None:
                self._ready |= {wanted}
                self._noted = None
        return address

    def _target(self, wanted: Format) -> Address:
        storage = self._storage
        storage.may_host_be_newer = False
        wanted = wanted.on(self._shape)
        self._renew()
        storage.is_zero = False
        storage.owner = None if wanted == PLAIN else self
        self._ready = frozenset((wanted,))
        self._newest = wanted
        return self._buffer(wanted).address

    def _renew(self) -> None:
        """Make this tensor the one that has the newest values."""
        storage = self._storage
        storage.token = self._token = object()
        self._noted = None
        storage.owner = None
        storage.is_mirror_current = False
        storage.may_host_be_newer = False

    def _buffer(self, wanted: Format) -> DeviceMemory:
        return self._buffers.get(wanted, self._shape)

    def _take(self, arena: SharedArena) -> None:
        self._buffers.take(arena, self._shape)
        self._generation += 1
        self._session.version += 1
        self.clear()

    def _plain_copy(self) -> Address:
        """Return where the values lie in C order, without keeping them there."""
        if PLAIN in self._ready:
            return self._buffer(PLAIN).address
        session = self._session
        address = session.scratch(PLAIN.size_bytes(self._shape), "copy")
        self._convert(address, PLAIN)
        return address

    def _convert(self, to: Address, wanted: Format) -> None:
        """Write the newest values somewhere else in another format."""
        given = self._newest
        scale = scale_address(self._scale if given.value != wanted.value else None)
        newest = self._buffer(given).address
        self._session.convert(self._shape, newest, given, to, wanted, scale)

    def _array(self) -> Array:
        return self._session.device.array(self._buffer(PLAIN), self._shape)

    def __repr__(self) -> str:
        return f"CudaTensor{self._shape}"
