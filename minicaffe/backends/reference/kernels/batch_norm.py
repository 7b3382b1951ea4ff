"""Batch normalisation."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.batch_norm import BatchNorm


@kernel(BatchNorm)
class ReferenceBatchNorm(ReferenceKernel[BatchNorm]):
    """Batch normalisation; forward saves the normalised x and the standard deviations."""

    def __init__(self, backend: ReferenceBackend, op: BatchNorm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        shape = tensors[0].shape
        # All arrays are viewed as (N, C, values of a channel).
        self.shape = (*shape[:2], math.prod(shape[2:])) if len(shape) > 1 else (*shape, 1, 1)
        self.normal: Array = self.xp.empty(self.shape, backend.dtype)
        self.deviation: Array = None

    def forward(self, x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, y: Tensor) -> None:
        """Overwrite y; update the statistics, unless there is no value to take them from."""
        if not self.normal.size:
            return
        values = x.read().reshape(self.shape)
        if self.op.use_stored:
            total = weight.read()
            share = self.xp.where(total == 0, 0, 1 / self.xp.where(total == 0, 1, total))
            mu, var = mean.read() * share, variance.read() * share
            self.xp.subtract(values, mu[:, None], out=self.normal)
        else:
            mu = values.mean((0, 2))
            self.xp.subtract(values, mu[:, None], out=self.normal)
            var = self._mean_product(self.normal, self.normal)
            self._remember(mu, var, mean.update(), variance.update(), weight.update())
        self.deviation = self.xp.sqrt(var + self.op.eps)
        self.normal /= self.deviation[:, None]
        out = y.write()
        out[...] = self.normal.reshape(out.shape)

    def recompute_forward(self, y: Tensor) -> None:
        """Overwrite y again, from the saved values."""
        if self.normal.size:
            out = y.write()
            out[...] = self.normal.reshape(out.shape)

    def backward(self, dy: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        if not self.normal.size:
            return
        given = dy.read().reshape(self.shape)
        if self.op.use_stored:
            inner = given
        else:
            slope = self._mean_product(given, self.normal)
            inner = given - given.mean((0, 2))[:, None] - self.normal * slope[:, None]
        out = dx.write()
        out[...] = (inner / self.deviation[:, None]).reshape(out.shape)

    def _remember(self, mu: Array, var: Array, mean: Array, variance: Array, weight: Array) -> None:
        m = self.shape[0] * self.shape[2]
        for total, value in ((weight, 1), (mean, mu), (variance, var * (m / max(m - 1, 1)))):
            total *= self.op.fraction
            total += value

    def _mean_product(self, a: Array, b: Array) -> Array:
        """Return the mean over each channel of a * b."""
        return self.xp.einsum("ncp,ncp->c", a, b) / (self.shape[0] * self.shape[2])
