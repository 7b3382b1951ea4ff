"""Sums of the gradients of the parts that one process computes, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.ops.backend import Array, Tensor


class PartialSums:
    """Adds the gradients of a power of two of parts in pairs: (0 + 1) + (2 + 3), and so on.

    Each part is computed into cleared gradients. The sums so far are kept as in a binary counter,
    one for each bit that is set in the number of parts.

    Parameters
    ----------
    gradients : sequence of Tensor
    n : int
        Number of parts.
    """

    def __init__(self, gradients: Sequence[Tensor], n: int) -> None:
        self._gradients, self._n = gradients, n
        self._kept: list[tuple[int, list[Array]]] = []

    @property
    def n_sets(self) -> int:
        """The largest number of sums of all gradients that are kept at the same time."""
        return self._n.bit_length() - 1

    def keep_part(self, part: int) -> None:
        """Add the present gradients, those of a part that is not the last.

        Parameters
        ----------
        part : int
            0 to ``n - 2``, in order; 0 forgets what an interrupted iteration has left.
        """
        if part == 0:
            self._kept.clear()
        level, sums = 0, [gradient.read().copy() for gradient in self._gradients]
        while self._kept and self._kept[-1][0] == level:
            _, lower = self._kept.pop()
            for total, higher in zip(lower, sums, strict=True):
                total += higher
            level, sums = level + 1, lower
        self._kept.append((level, sums))

    def add_kept(self, index: int, array: Array) -> None:
        """Add what is kept of one gradient to an array with that of the last part.

        Parameters
        ----------
        index : int
            Index of the gradient.
        array : ndarray
            Changed in place.
        """
        for _, sums in reversed(self._kept):
            array += sums[index]
