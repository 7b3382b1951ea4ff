"""Normalisation by the statistics of all processes that train a net."""

from __future__ import annotations

from minicaffe.layers.base import Layer
from minicaffe.ops.backend import Tensor
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.running_statistics import RunningStatistics
from minicaffe.ops.sync_batch_norm import SyncBatchNorm


def is_over_ranks(layer: Layer, sync: bool) -> bool:
    """Return whether `sync` concerns several processes; raise a NetError if it is impossible."""
    share = layer.context.share
    layer.require(
        not sync or share.parts.n == 1,
        f"sync: true needs all {share.parts.count} parts of a batch at the same time, and each of "
        f"{share.communicator.size} processes computes {share.parts.n} of them one after another. "
        f"Start {share.parts.count} processes, use --summation_parts="
        f"{share.communicator.size}, or remove sync.",
    )
    return sync and share.parts.count > 1  # nets that test compute whole batches


class BatchNormOverRanks:
    """Kernel of `BatchNorm` that takes the statistics of the batch from all processes.

    Parameters
    ----------
    layer : Layer
        Plans the kernels.
    op : BatchNorm
        Without `use_stored`.
    x : Tensor
    stored : tuple of Tensor
        Mean, variance and weight.
    y : Tensor
    """

    def __init__(
        self, layer: Layer, op: BatchNorm, x: Tensor, stored: tuple[Tensor, ...], y: Tensor
    ) -> None:
        self._layer, self._op, self._m = layer, op, -1
        self._add_up = layer.context.share.communicator.allreduce
        shape = stored[0].shape
        self._ones, self._zeros, self._mu, self._var = (
            layer.context.backend.tensor(shape) for _ in range(4)
        )
        self._ones.set([1.0] * shape[0])
        tensors = (self._ones, self._zeros, self._mu, self._var)
        self._kernel = layer.plan(SyncBatchNorm(op.eps), x, *tensors, y)

    def forward(self, x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, y: Tensor) -> None:
        """Overwrite y, which may be x itself; update mean, variance and weight."""
        found = (self._mu, self._var)
        m = self._kernel.forward(x, (self._ones, self._zeros), found, y, self._add_up)
        stored = (mean, variance, weight)
        if m != self._m:
            op = RunningStatistics("sums", self._op.fraction, self._op.eps, m)
            self._m, self._running = m, self._layer.plan(op, *stored)
        self._running.update(*found, stored)

    def recompute_forward(self, y: Tensor) -> None:
        """Do nothing: nothing is fused into this kernel."""

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx, which may be dy itself."""
        self._kernel.backward(dy, self._ones, dx, None, None, self._add_up)
