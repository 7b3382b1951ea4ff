"""Log of the tensors that a task accesses, from which graph capture derives preconditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor_state import TensorState


class TrackedTensor(Protocol):
    """The part of `CudaTensor` that graph capture uses."""

    @property
    def storage_number(self) -> int:
        """The number of the memory in the session's `ChangeLog`."""

    def flush_host_writes(self) -> None:
        """Upload what the host has written to the mirror."""

    def write_token(self) -> object:
        """Return an object that every write replaces."""

    def state_if_newest(self) -> TensorState | None:
        """Return the state, or None if another tensor over the same memory has written since."""

    def matches(self, wanted: TensorState) -> bool:
        """Return whether a graph that was captured in this state may be launched now."""

    def set_state(self, state: TensorState) -> None:
        """Set the state that a launched graph has written."""

    def add_formats(self, formats: frozenset[Format]) -> None:
        """Mark formats as valid that a launched graph has converted the values to."""


class TensorUse(NamedTuple):
    """State of a tensor before a task first used it.

    Parameters
    ----------
    state : TensorState
    is_read : bool
        Whether the task reads the values before it overwrites them.
    token : object
        See `TrackedTensor.write_token`.
    undo : callable
        Restores the bookkeeping of the tensor.
    """

    state: TensorState
    is_read: bool
    token: object
    undo: Callable[[], None]


class AccessLog:
    """The tensors that a task uses, and whether it accesses values outside of kernels.

    Attributes
    ----------
    uses : dict
        The first use of each tensor by a native kernel.
    uses_host : bool
        Whether the host or a reference kernel accessed values: such a task cannot be captured.
    """

    def __init__(self) -> None:
        self.uses: dict[TrackedTensor, TensorUse] = {}
        self.uses_host = False

    def undo(self) -> None:
        """Restore the bookkeeping of all tensors to what it was before the task."""
        for use in reversed(self.uses.values()):
            use.undo()
