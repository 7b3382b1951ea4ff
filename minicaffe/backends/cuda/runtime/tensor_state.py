"""State of a tensor's buffers, compared before a captured graph is launched again."""

from __future__ import annotations

from typing import NamedTuple

from minicaffe.backends.cuda.runtime.format import Format


class TensorState(NamedTuple):
    """Everything about a tensor that decides which operations kernels enqueue.

    Parameters
    ----------
    generation : int
        Number of times that the tensor's memory was replaced.
    formats : frozenset of Format
        The formats whose buffers hold the newest values.
    newest : Format
        The format written last.
    is_zero : bool
        Whether all values are zero and only this flag represents them (lazy clear).
    is_shared : bool
        Whether tensors over the same memory read the values there; follows from the other fields.
    is_borrowed : bool
        Whether the values in the format `newest` are in memory of another tensor.
    """

    generation: int
    formats: frozenset[Format]
    newest: Format
    is_zero: bool
    is_shared: bool
    is_borrowed: bool

    def matches(self, wanted: TensorState) -> bool:
        """Return whether a graph captured in state `wanted` may be launched in this state."""
        return self == wanted or (
            self.generation == wanted.generation
            and (self.is_zero, self.is_borrowed) == (wanted.is_zero, wanted.is_borrowed)
            and self.formats >= wanted.formats
        )
