"""Batch normalisation with a scale and a shift."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.ops.affine_batch_norm import AffineBatchNorm
from minicaffe.ops.backend import Array, Tensor


@kernel(AffineBatchNorm)
class ReferenceAffineBatchNorm(ReferenceKernel[AffineBatchNorm]):
    """Normalise by the batch; forward saves the normalised x and the standard deviations."""

    def __init__(self, backend: ReferenceBackend, op: AffineBatchNorm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        shape = tensors[0].shape
        # All arrays are viewed as (N, C, values of a channel).
        self._shape = (*shape[:2], math.prod(shape[2:]))
        self._m = max(self._shape[0] * self._shape[2], 1)
        self._normal: Array = self.xp.empty(self._shape, backend.dtype)
        self._deviation: Array = None

    def forward(self, x: Tensor, s: Tensor, b: Tensor, mu: Tensor, var: Tensor, y: Tensor) -> None:
        """Overwrite mu, var and y."""
        values = x.read().reshape(self._shape)
        center = values.sum((0, 2)) / self._m
        self.xp.subtract(values, center[:, None], out=self._normal)
        variance = self._mean_product(self._normal, self._normal)
        self._deviation = self.xp.sqrt(variance + self.op.eps)
        self._normal /= self._deviation[:, None]
        mu.write()[...], var.write()[...] = center, variance
        out = y.write().reshape(self._shape)
        out[...] = self._normal * s.read()[:, None] + b.read()[:, None]

    def backward(
        self, dy: Tensor, s: Tensor, dx: Tensor | None, ds: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite dx; add to ds and db."""
        given = dy.read().reshape(self._shape)
        shift, slope = given.sum((0, 2)) / self._m, self._mean_product(given, self._normal)
        for total, mean in ((ds, slope), (db, shift)):
            if total is not None:
                sums = total.update()
                sums += mean * self._m
        if dx is not None:
            inner = given - shift[:, None] - self._normal * slope[:, None]
            factor = s.read() / self._deviation
            dx.write().reshape(self._shape)[...] = inner * factor[:, None]

    def _mean_product(self, a: Array, b: Array) -> Array:
        """Return the mean over each channel of a * b."""
        return self.xp.einsum("ncp,ncp->c", a, b) / self._m
