"""The average of a net's parameters, and showing it in the net."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minicaffe.net import Net
from minicaffe.ops.backend import Tensor
from minicaffe.ops.update import WeightAverage


class AveragedWeights:
    """Keeps the average of all parameters of a net; statistics of BatchNorm count as parameters.

    Parameters
    ----------
    net : Net
        The net being trained.

    Attributes
    ----------
    tensors : list of Tensor
        The averages, in the order of the net's parameters.
    """

    def __init__(self, net: Net) -> None:
        self._net = net
        self.tensors = [net.backend.tensor(p.blob.shape) for p in net.parameters]
        with net.backend.lock:
            self._kernel = net.backend.plan(
                WeightAverage(),
                *(t for pair in zip(self.tensors, self._weights, strict=True) for t in pair),
            )
        self._share = 0.0
        self._is_shown = False

    def set_share(self, share: float) -> None:
        """Set the share of the parameters in their average for the next run of `update`."""
        self._share = share

    def update(self) -> None:
        """Let the parameters enter the average; a task, see `Backend.compile`."""
        with self._net.backend.lock:
            self._kernel.average(self.tensors, self._weights, lambda: self._share)

    def begin(self) -> None:
        """Make the average the parameters that the net has now."""
        for mean, w in zip(self.tensors, self._weights, strict=True):
            mean.set(w.get())

    @contextmanager
    def shown(self, is_shown: bool = True) -> Iterator[None]:
        """Show the averages in the net, or the parameters; afterwards what was shown before.

        Nets that share the parameters of the net show the same.
        """
        before = self._is_shown
        self._show(is_shown)
        try:
            yield
        finally:
            self._show(before)

    def _show(self, is_shown: bool) -> None:
        if is_shown == self._is_shown:
            return
        for mean, w in zip(self.tensors, self._weights, strict=True):
            values = w.get()
            w.set(mean.get())
            mean.set(values)
        self._is_shown = is_shown

    @property
    def _weights(self) -> list[Tensor]:
        return [p.blob.data for p in self._net.parameters]
