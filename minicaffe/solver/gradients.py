"""The gradients of one or, with iter_size, several batches; and an update as part of the work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from minicaffe.net import Net
from minicaffe.net.losses import LaterLoss

Piece: TypeAlias = Callable[[], None]


class Gradients:
    """Clears a net's gradients and runs it forward and backward, over and over again.

    Parameters
    ----------
    net : Net
        The net that is trained.
    """

    def __init__(self, net: Net) -> None:
        self._net = net
        self._losses: list[LaterLoss] = []
        self._work: Piece | None = None
        # What the work was made for: a version of the net, a number of batches, an update.
        self._made_for: tuple[int, int, Piece | None] = (0, 0, None)

    def run(self, n_batches: int, update: Piece | None = None) -> list[LaterLoss]:
        """Compute the gradients over so many batches (iter_size).

        Parameters
        ----------
        n_batches : int
        update : callable, optional
            Done at the end, as part of the same work; not for a net that is watched.

        Returns
        -------
        list of LaterLoss
            One for each batch.
        """
        self._losses = []
        if self._net.is_watched:
            self._run_watched(n_batches)
        else:
            self._repeated(n_batches, update)()
        self._take_loss()
        return self._losses

    def _run_watched(self, n_batches: int) -> None:
        self._net.clear_param_diffs()
        for k in range(n_batches):
            if k:
                self._take_loss()
            self._net.forward()
            self._net.backward()

    def _repeated(self, n_batches: int, update: Piece | None) -> Piece:
        net = self._net
        net.prepare_training()
        wanted = (net.version, n_batches, update)
        if self._work is None or self._made_for != wanted:
            pieces = self._pieces(n_batches)
            self._work = net.backend.repeatable([*pieces, update] if update else pieces)
            self._made_for = wanted
        return self._work

    def _pieces(self, n_batches: int) -> list[Piece]:
        net = self._net
        forward, backward = net.forward_pieces(), net.backward_pieces()
        # What brings new batches cannot be recorded. All the rest can stand together behind it.
        n_sources = next((i for i, step in enumerate(net.steps) if step.bottom), len(net.steps))
        pieces = [*forward[:n_sources], net.clear_param_diffs, *forward[n_sources:], *backward]
        for _ in range(n_batches - 1):
            pieces += [self._take_loss, *forward, *backward]
        return pieces

    def _take_loss(self) -> None:
        """Note the loss of the last batch, before the next one overwrites it."""
        self._losses.append(self._net.later_loss())
