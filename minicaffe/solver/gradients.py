"""The gradients of one or, with iter_size, several batches; and an update as part of the work."""

from __future__ import annotations

from collections.abc import Callable

from minicaffe.net import Net
from minicaffe.net.loss_future import LossFuture
from minicaffe.net.program import Piece, Program


class Gradients:
    """Clears a net's gradients and runs it forward and backward, over and over again.

    Parameters
    ----------
    net : Net
        The net that is trained.
    """

    def __init__(self, net: Net) -> None:
        self._net = net
        self._losses: list[LossFuture] = []
        # By the number of batches and the update that ends the work, if one does.
        self._programs: dict[tuple[int, Callable[[], Piece] | None], Program] = {}

    def run(self, n_batches: int, update: Callable[[], Piece] | None = None) -> list[LossFuture]:
        """Compute the gradients over so many batches (iter_size).

        Parameters
        ----------
        n_batches : int
        update : callable, optional
            Makes a piece that ends the same work; not for a net that is watched.

        Returns
        -------
        list of LossFuture
            One for each batch.
        """
        self._losses = []
        if self._net.is_watched:
            self._run_watched(n_batches)
        else:
            self._net.prepare_training()
            make = lambda: self._pieces(n_batches, update)  # noqa: E731
            self._programs.setdefault((n_batches, update), Program(self._net, make))()
        self._take_loss()
        return self._losses

    def _run_watched(self, n_batches: int) -> None:
        self._net.clear_param_diffs()
        for k in range(n_batches):
            if k:
                self._take_loss()
            self._net.forward()
            self._net.backward()

    def _pieces(self, n_batches: int, update: Callable[[], Piece] | None) -> list[Piece]:
        net = self._net
        forward, backward = net.forward_pieces(), net.backward_pieces()
        # What brings new batches cannot be recorded. All the rest can stand together behind it.
        n_sources = next((i for i, step in enumerate(net.steps) if step.bottom), len(net.steps))
        pieces = [*forward[:n_sources], net.clear_param_diffs, *forward[n_sources:], *backward]
        for _ in range(n_batches - 1):
            pieces += [self._take_loss, *forward, *backward]
        return [*pieces, update()] if update else pieces

    def _take_loss(self) -> None:
        """Note the loss of the last batch, before the next one overwrites it."""
        self._losses.append(self._net.loss_async())
