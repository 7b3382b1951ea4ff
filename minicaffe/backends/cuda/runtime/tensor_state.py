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
    alternate : int
        Which of two buffers is the present one, where two tensors alternate between them.
    """

    generation: int
    formats: frozenset[Format]
    newest: Format
    is_zero: bool
    is_shared: bool
    is_borrowed: bool
    alternate: int

    def matches(self, wanted: TensorState) -> bool:
        """Return whether a graph captured in state `wanted` may be launched in this state."""
        return self == wanted or (
            self.formats >= wanted.formats
            and self._memory == wanted._memory
            and self.is_zero == wanted.is_zero
        )

    @property
    def _memory(self) -> tuple[int, bool, int]:
        """What decides at which address the values are."""
        return self.generation, self.is_borrowed, self.alternate
