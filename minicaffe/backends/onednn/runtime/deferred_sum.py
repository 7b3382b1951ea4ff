"""Sums of tensors, and copies of one, that are computed when they are read.

The gradient of a blob with several readers is the sum of theirs, and that of a summand a copy of
the sum's. Stored at once, each would be written to memory and read again by the next kernel. A
deferred sum is computed when it is read, or before a term changes, and never if it is overwritten
first; the kernel of the next layer can read the terms instead, in the pass in which it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Self, TypeVar
from weakref import ref

from minicaffe.backends.onednn.runtime.buffers import TensorBuffers, TensorStorage
from minicaffe.backends.onednn.runtime.call_log import CallLog
from minicaffe.ops.backend import Shape

T = TypeVar("T")
# The attributes of a tensor that say where its values are.
STORAGE = (
    *("_buffers", "_packed", "_ready", "_is_plain_ready", "_newest", "is_zero"),
    *("_array", "_array_of"),
)


class _Sum(NamedTuple, Generic[T]):
    terms: Sequence[T]
    add_up: Callable[[Sequence[T], T], None] | None  # not needed for one term


class DeferredSum(TensorStorage):
    """Base of the tensors: the sum that one is, until it is computed.

    Sums are computed at once if a live view of the values exists, or other tensors overwrite the
    memory.
    """

    _deferred: _Sum[Self] | None

    def __init__(self, log: CallLog, shape: Shape, buffers: TensorBuffers) -> None:
        super().__init__(log, shape, buffers)
        self._deferred = None
        # Whether terms that share memory keep their values until this sum is overwritten. A term
        # that changes is then one of a later pass.
        self._keeps_terms = False
        # The tensors whose sums have this one as a term; weakly, because they hold it.
        self._readers: list[ref[Self]] = []

    def copy_from(self, other: Self) -> None:
        """Overwrite the values with those of a tensor of the same shape, in its layout."""
        raise NotImplementedError

    def defer(
        self, terms: Sequence[Self], add_up: Callable[[Sequence[Self], Self], None] | None = None
    ) -> None:
        """Overwrite the values with a sum of other tensors of this shape, later.

        Parameters
        ----------
        terms : sequence of OneDnnTensor
        add_up : callable, optional
            Overwrites its second argument with the sum of the first ones, if the sum is read as a
            whole; without it, the values are those of the only term.
        """
        for tensor in (self, *terms):
            if tensor._observers or tensor._log.is_on:
                tensor._use_on_host()
                tensor._note_change()
        self._overwrite()
        self._deferred = _Sum(terms, add_up)
        shares = any(tensor.shares_memory for tensor in (self, *terms))
        is_pinned = any(tensor.is_pinned for tensor in (self, *terms))
        if is_pinned or (shares and not self._keeps_terms):
            self._add_up()
            return
        for term in terms:
            term._readers.append(ref(self))
        self._hold_nothing(terms[0])

    def terms(self) -> Sequence[Self]:
        """Return tensors whose sum the values are: this one, or those of a deferred sum."""
        return (self,) if self._deferred is None else self._deferred.terms

    @property
    def is_in_sum(self) -> bool:
        """Whether the values are a sum to compute, or a term of one."""
        return self._deferred is not None or bool(self._readers)

    @property
    def _original(self) -> Self | None:
        """The tensor that this one is a copy of."""
        deferred = self._deferred
        return deferred.terms[0] if deferred and deferred.add_up is None else None

    def _add_up(self) -> Self:
        """Compute the deferred sum, if there is one; return this tensor."""
        if (deferred := self._deferred) is None:
            return self
        self._note_change()
        # The values do not change for those that read them.
        readers, self._readers = self._readers, []
        self._drop()
        if deferred.add_up is None:
            self.copy_from(deferred.terms[0])
        else:
            deferred.add_up(deferred.terms, self)
        self._readers = readers
        return self

    def _hold_nothing(self, example: Self) -> None:
        """Declare that no buffer holds the values, whose layout is that of another tensor."""
        self._ready.clear()
        self._is_plain_ready = self.is_zero = False
        self._newest = example._newest
        self.version += 1

    def _drop(self) -> None:
        """Forget the deferred sum."""
        if self._deferred is not None:
            for term in self._deferred.terms:
                term._readers = [r for r in term._readers if r() not in (self, None)]
            self._deferred = None

    def _settle(self) -> None:
        """Compute the deferred sum and those that have this tensor as a term."""
        self._add_up()
        self._drop_unread()
        for reader in self._readers:
            if (tensor := reader()) is not None:
                tensor._add_up()

    def _drop_unread(self) -> None:
        """Forget sums of an earlier pass, because their memory may be another tensor's now."""
        for reader in list(self._readers):
            tensor = reader()
            if tensor is not None and tensor._keeps_terms:
                tensor._note_change()
                tensor._drop()
                tensor.is_zero = True

    def _overwrite(self) -> None:
        """Prepare for new values: copies of the old ones keep them, other sums are computed."""
        self._drop_unread()
        if self._readers:
            self._note_change()
            readers = [tensor for reader in self._readers if (tensor := reader()) is not None]
            if self._deferred is None and readers and all(map(_is_copy, readers)):
                first, *others = readers
                first._drop()
                first._note_change()
                # Nothing is copied: the old values change their owner.
                for name in STORAGE:
                    own, its = getattr(self, name), getattr(first, name)
                    setattr(self, name, its)
                    setattr(first, name, own)
                for other in others:
                    other._drop()
                    other.defer([first])
            else:
                self._settle()
        self._drop()


def _is_copy(tensor: DeferredSum) -> bool:
    return tensor._original is not None
