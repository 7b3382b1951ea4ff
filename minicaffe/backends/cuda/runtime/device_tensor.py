"""Tensors in device memory, stored in the formats that kernels request, with lazy conversion.

A tensor's newest values are in one or several buffers, one for each `Format`. A kernel requests a
format with `source` and `target`; values are converted only if no buffer holds them in that format.
The plain buffer (C order, float32) belongs to a storage, which tensors of other shapes may share;
each of them compares a token to detect writes by the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from minicaffe.backends.cuda.driver.device import Address, CannotCapture, DeviceMemory
from minicaffe.backends.cuda.runtime.access_log import TensorUse
from minicaffe.backends.cuda.runtime.format import PLAIN, Format
from minicaffe.backends.cuda.runtime.loss_scale import LossScale, scale_address
from minicaffe.backends.cuda.runtime.session import Session
from minicaffe.backends.cuda.runtime.storage import Buffers, Storage
from minicaffe.backends.cuda.runtime.tensor_state import TensorState
from minicaffe.backends.lock import locked
from minicaffe.ops.backend import Shape


class DeviceTensor:
    """Values in device memory, for kernels and graph capture; `CudaTensor` adds plain arrays."""

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
        given = self._source(wanted)
        address = self._target(wanted)
        if given != address:  # borrowed
            size_bytes = wanted.on(self.shape).size_bytes(self.shape)
            self._session.device.copy(given, address, size_bytes)
        return address

    def borrow(self, other: DeviceTensor) -> bool:
        """Take the values of another tensor over without a copy; return whether that was possible.

        Until this tensor is written, it follows `other`: if `other` is written in the same format,
        the values change. This suits gradients, which every backward pass overwrites.
        """
        own, lender, form = self._buffers, other._buffers, other.format
        arenas = (self._storage.arena, other._storage.arena)
        is_distinct = self._storage is not other._storage and arenas == (None, None)
        # Plain memory is shared with views, and written by the host at any time.
        if (
            form == PLAIN
            or not is_distinct
            or (own.shape, own.scale) != (lender.shape, lender.scale)
        ):
            return False
        other.source(form)
        self._log_use(is_read=False)
        self._renew()
        self._storage.is_zero, self._storage.owner = False, own
        if own.borrow(other._buffer(form), form):
            # Graphs restore `is_borrowed`, so the lender must be the one of the capture.
            self._session.version += 1
        return True

    def swap_memory(self, other: DeviceTensor) -> bool:
        """Give the values, in the format `newest`, to another tensor without a copy, if possible.

        This tensor gets the memory of `other`, and the caller must write it next. Each tensor then
        has one of two buffers, and graphs check and restore which.

        Returns
        -------
        bool
            Whether `other` has the values; False: they must be copied.
        """
        form, own, to = self.format, self._buffers, other._buffers
        arenas = (self._storage.arena, other._storage.arena)
        is_possible = form != PLAIN and own.borrowed is None and arenas == (None, None)
        if not is_possible or not own.alternate_with(self._storage, to, other._storage):
            return False
        other.target(form)
        to.select(own.alternate)
        own.select(1 - own.alternate)
        return True

    @property
    def is_zero(self) -> bool:
        """Whether all values are zero and only a flag represents them, since `clear`."""
        self._log_use()
        self._sync_state()
        return self._storage.is_zero

    def accumulate(self, wanted: Format = PLAIN) -> tuple[Address, bool]:
        """Return the address of an accumulator in this format, and whether to overwrite it.

        The second is true after `clear`, when the contents of the memory are undefined.
        """
        is_first = self.is_zero
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

    @property
    def storage_number(self) -> int:
        """The number of the memory in the session's `ChangeLog`."""
        return self._storage.number

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
        self._buffers.hold(state.formats, state.newest, state.is_borrowed)
        self._buffers.select(state.alternate)
        self._cached_state = state

    def add_formats(self, formats: frozenset[Format]) -> None:
        """Mark formats as valid that a launched graph has converted the values to."""
        if formats <= self._buffers.ready:
            return
        self._buffers.ready |= formats
        self._note_change()
        if PLAIN in formats:
            self._storage.owner = None

    # Implementation.

    def _state(self) -> TensorState:
        is_zero, buffers = self._storage.is_zero, self._buffers
        return TensorState(
            self._generation,
            buffers.ready,
            buffers.newest,
            is_zero,
            is_zero or PLAIN in buffers.ready,
            buffers.borrowed is not None,
            buffers.alternate,
        )

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
        buffers = self._buffers
        ready, newest, is_borrowed = buffers.ready, buffers.newest, buffers.borrowed is not None
        lender, alternate = buffers.lender, buffers.alternate
        shared = dict(vars(self._storage))

        def undo() -> None:
            self._token, self._cached_state = token, cached_state
            buffers.lender = lender
            buffers.hold(ready, newest, is_borrowed)
            buffers.select(alternate)
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
            self._buffers.hold(frozenset(() if storage.is_zero else (PLAIN,)), PLAIN)
            self._note_change()

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
                self._note_change()
        return address

    def _target(self, wanted: Format) -> Address:
        storage, buffers = self._storage, self._buffers
        wanted = wanted.on(buffers.shape)
        self._renew()
        storage.is_zero = False
        storage.owner = None if wanted == PLAIN else buffers
        buffers.hold(frozenset((wanted,)), wanted)
        return self._buffer(wanted).address

    def _renew(self) -> None:
        """Mark this tensor as the one that holds the newest values."""
        storage = self._storage
        storage.token = self._token = object()
        self._note_change()
        storage.owner = None
        storage.is_mirror_current = False
        storage.may_host_be_newer = False

    def _note_change(self) -> None:
        """Log that the bookkeeping has changed."""
        self._cached_state = None
        self._session.changes.add(self._storage.number)

    def _buffer(self, wanted: Format) -> DeviceMemory:
        return self._buffers.get(self._storage, wanted)

    def _convert(self, buffers: Buffers, to: Address, wanted: Format) -> None:
        """Convert the newest values of a tensor to another format, at address `to`."""
        given = buffers.newest
        scale = scale_address(buffers.scale if given.value != wanted.value else None)
        newest = buffers.get(self._storage, given).address
        self._session.convert(buffers.shape, newest, given, to, wanted, scale)
