"""Work of a net that is done again and again, made anew when the net changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from minicaffe.ops.backend import Backend

Piece: TypeAlias = Callable[[], None]


class Versioned(Protocol):
    """A net, as far as its work asks."""

    backend: Backend
    version: int


class Program:
    """Pieces of work, run through `Backend.compile`.

    Parameters
    ----------
    net : Net
        Whose version says when the pieces must be made anew.
    pieces : callable
        Makes them.
    """

    def __init__(self, net: Versioned, pieces: Callable[[], Sequence[Piece]]) -> None:
        self._net, self._pieces = net, pieces
        self._made: tuple[int, Piece] | None = None

    def __call__(self) -> None:
        """Do the work."""
        if self._made is None or self._made[0] != self._net.version:
            self._made = self._net.version, self._net.backend.compile(self._pieces())
        self._made[1]()
