"""Batch normalisation over the batches of several processes, in the layout of x."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.backends.mean_over_ranks import mean_over_ranks
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._batch_norm_primitives import BatchNormPrimitives
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Tensor
from minicaffe.ops.sync_batch_norm import SumOverRanks, SyncBatchNorm


@kernel(SyncBatchNorm)
class OneDnnSyncBatchNorm(OneDnnKernel[SyncBatchNorm]):
    """Normalise by given statistics, with primitives that compute those of this process before.

    Each direction has two primitives instead of one. Backward reads x. In place y overwrites it, so
    forward moves x to a tensor of the kernel first.
    """

    def __init__(self, backend: OneDnnBackend, op: SyncBatchNorm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, s, y = tensors[0], tensors[1], tensors[-1]
        self._own_m = math.prod(x.shape) // s.shape[0]
        self._m = 0
        self._saved_x = OneDnnTensor(backend.reorders, x.shape) if x is y else None
        # The terms of dx that depend on the whole batch; or dx, if it is not needed.
        self._terms = OneDnnTensor(backend.reorders, x.shape)
        self._mu, self._var, self._factor, self._offset = (
            OneDnnTensor(backend.reorders, s.shape) for _ in range(4)
        )
        self._statistics = BatchNormPrimitives(self.engine, s.shape, op.eps)
        self._linear = BatchNormPrimitives(
            self.engine, s.shape, op.eps, use_stored=True, scales=True
        )

    def forward(
        self,
        x: OneDnnTensor,
        scaling: tuple[OneDnnTensor, OneDnnTensor],
        statistics: tuple[OneDnnTensor, OneDnnTensor],
        y: OneDnnTensor,
        add_up: SumOverRanks,
    ) -> int:
        """Overwrite the statistics and y; return m."""
        self._layout = images_layout(x)
        if self._saved_x is not None:
            self._saved_x.move_from(x, self._layout)
            x = self._saved_x
        self._x = x
        self._statistics.forward(self._layout)(x, y, self._mu, self._var)
        own = self._mu.get().astype(np.float64)
        mean, self._m = mean_over_ranks(own, self._own_m, add_up)
        squares = self._var.get() + (own - mean) ** 2
        self._mu.set(mean)
        self._var.set(mean_over_ranks(squares, self._own_m, add_up)[0])
        self._linear.forward(self._layout)(x, self._mu, self._var, *scaling, y)
        for found, tensor in zip((self._mu, self._var), statistics, strict=True):
            tensor.copy_from(found)
        return self._m

    def backward(
        self,
        dy: OneDnnTensor,
        s: OneDnnTensor,
        dx: OneDnnTensor | None,
        ds: OneDnnTensor | None,
        db: OneDnnTensor | None,
        add_up: SumOverRanks,
    ) -> None:
        """Overwrite dx; add to ds and db."""
        sums = (self._factor, self._offset)
        operands = (self._x, self._mu, self._var, s, dy, dx or self._terms)
        self._linear.backward(self._layout)(*operands, *sums)
        for total, own in zip((ds, db), sums, strict=True):
            if total is not None:
                total.add(own)
        if dx is None:
            return
        totals = np.stack([tensor.get() for tensor in sums]).astype(np.float64)
        add_up(totals)
        factors = -s.get() / np.sqrt(self._var.get() + self.op.eps)
        for tensor, values in zip(sums, totals / self._m, strict=True):
            tensor.set(factors * values)
        statistics = (self._mu, self._var)
        self._linear.forward(self._layout)(self._x, *statistics, *sums, self._terms)
        dx.add(self._terms)
