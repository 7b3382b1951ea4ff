"""Batch normalisation over the batches of several processes."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.backends.mean_over_ranks import mean_over_ranks
from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.sync_batch_norm import SumOverRanks, SyncBatchNorm


@kernel(SyncBatchNorm)
class ReferenceSyncBatchNorm(ReferenceKernel[SyncBatchNorm]):
    """Normalise by all processes; forward saves the normalised x and the standard deviations."""

    def __init__(self, backend: ReferenceBackend, op: SyncBatchNorm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        shape, channels = tensors[0].shape, tensors[1].shape[0]
        # All arrays are viewed as (N, C, values of a channel).
        self._shape = (
            (shape[0], channels, math.prod(shape[2:])) if len(shape) > 1 else (*shape, 1, 1)
        )
        self._own_m = self._shape[0] * self._shape[2]
        self._m = 0
        self._normal: Array = self.xp.empty(self._shape, backend.dtype)
        self._deviation: Array = None
        # Through these, sums leave and enter the memory of the device.
        self._sums = [backend.tensor((channels,)) for _ in range(2)]

    def forward(
        self,
        x: Tensor,
        scaling: tuple[Tensor, Tensor],
        statistics: tuple[Tensor, Tensor],
        y: Tensor,
        add_up: SumOverRanks,
    ) -> int:
        """Overwrite the statistics and y; return m."""
        mu, var = statistics
        values = x.read().reshape(self._shape)
        own = max(self._own_m, 1)
        mu.write()[...] = values.sum((0, 2)) / own
        mean, self._m = mean_over_ranks(mu.get(), self._own_m, add_up)
        if not self._m:
            return 0
        mu.set(mean)
        self.xp.subtract(values, mu.read()[:, None], out=self._normal)
        var.write()[...] = self._product(self._normal, self._normal) / own
        var.set(mean_over_ranks(var.get(), self._own_m, add_up)[0])
        self._deviation = self.xp.sqrt(var.read() + self.op.eps)
        self._normal /= self._deviation[:, None]
        s, b = (tensor.read() for tensor in scaling)
        y.write().reshape(self._shape)[...] = self._normal * s[:, None] + b[:, None]
        return self._m

    def backward(
        self,
        dy: Tensor,
        s: Tensor,
        dx: Tensor | None,
        ds: Tensor | None,
        db: Tensor | None,
        add_up: SumOverRanks,
    ) -> None:
        """Overwrite dx; add to ds and db."""
        given = dy.read().reshape(self._shape)
        sums = given.sum((0, 2)), self._product(given, self._normal)
        for total, values in zip((db, ds), sums, strict=True):
            if total is not None:
                array = total.update()
                array += values
        if dx is None or not self._m:
            return
        shift, slope = self._means(sums, add_up)
        inner = given - shift[:, None] - self._normal * slope[:, None]
        dx.write().reshape(self._shape)[...] = inner * (s.read() / self._deviation)[:, None]

    def _means(self, sums: tuple[Array, Array], add_up: SumOverRanks) -> tuple[Array, Array]:
        """Return the means over all processes of what these have the sums of."""
        for tensor, values in zip(self._sums, sums, strict=True):
            tensor.write()[...] = values
        totals = np.stack([tensor.get() for tensor in self._sums]).astype(np.float64)
        add_up(totals)
        for tensor, values in zip(self._sums, totals, strict=True):
            tensor.set(values / self._m)
        shift, slope = (tensor.read() for tensor in self._sums)
        return shift, slope

    def _product(self, a: Array, b: Array) -> Array:
        """Return the sum over each channel of a * b."""
        return self.xp.einsum("ncp,ncp->c", a, b)
