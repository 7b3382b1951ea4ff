"""The state of a tensor's memory, by which recordings know whether they may be repeated."""

from __future__ import annotations

from typing import NamedTuple

from minicaffe.backends.cuda.runtime.format import Format


class TensorState(NamedTuple):
    """What must be the case for a recording to be repeated, and what is after it.

    Parameters
    ----------
    generation : int
        Counts the times that the tensor's memory was exchanged.
    formats : frozenset of Format
        Those that hold the newest values.
    newest : Format
        The one written last.
    is_zero : bool
        Whether all values are zero, with nothing but a note to say so.
    is_shared : bool
        Whether tensors over the same memory find the values there: it follows from the others.
    """

    generation: int
    formats: frozenset[Format]
    newest: Format
    is_zero: bool
    is_shared: bool

    def matches(self, wanted: TensorState) -> bool:
        """Return whether a recording that began with `wanted` may begin here."""
        return self == wanted or (
            self.generation == wanted.generation
            and self.is_zero == wanted.is_zero
            and self.formats >= wanted.formats
        )
