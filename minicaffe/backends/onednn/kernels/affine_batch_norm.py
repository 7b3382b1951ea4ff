"""Batch normalisation with a scale and a shift in the layout of x: one primitive per direction."""

from __future__ import annotations

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._accumulate import Accumulator
from minicaffe.backends.onednn.kernels._batch_norm_primitives import BatchNormPrimitives
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.affine_batch_norm import AffineBatchNorm
from minicaffe.ops.backend import Tensor


@kernel(AffineBatchNorm)
class OneDnnAffineBatchNorm(OneDnnKernel[AffineBatchNorm]):
    """Normalise, scale and shift.

    Backward reads x. In place y overwrites it, so forward moves x to a tensor of the kernel first.
    """

    def __init__(self, backend: OneDnnBackend, op: AffineBatchNorm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, s, y = tensors[0], tensors[1], tensors[-1]
        self._channels = s.shape
        self._saved_x = OneDnnTensor(backend.reorders, x.shape) if x is y else None
        self._unused_dx = OneDnnTensor(backend.reorders, x.shape)
        self._mu, self._var = (OneDnnTensor(backend.reorders, s.shape) for _ in range(2))
        self._accumulate = Accumulator(backend)
        self._primitives = BatchNormPrimitives(self.engine, s.shape, op.eps, scales=True)

    def forward(
        self,
        x: OneDnnTensor,
        s: OneDnnTensor,
        b: OneDnnTensor,
        mu: OneDnnTensor,
        var: OneDnnTensor,
        y: OneDnnTensor,
    ) -> None:
        """Overwrite mu, var and y."""
        self._layout = images_layout(x)
        if self._saved_x is not None:
            self._saved_x.move_from(x, self._layout)
            x = self._saved_x
        self._x = x
        self._primitives.forward(self._layout)(x, s, b, y, self._mu, self._var)
        mu.copy_from(self._mu)
        var.copy_from(self._var)

    def backward(
        self,
        dy: OneDnnTensor,
        s: OneDnnTensor,
        dx: OneDnnTensor | None,
        ds: OneDnnTensor | None,
        db: OneDnnTensor | None,
    ) -> None:
        """Overwrite dx; add to ds and db."""
        call = self._primitives.backward(self._layout)
        operands = (self._x, self._mu, self._var, s, dy, dx or self._unused_dx)
        # Different shapes, so that the accumulator has two temporaries.
        shapes = (self._channels, (*self._channels, 1))
        self._accumulate(lambda *results: call(*operands, *results), (ds, db), shapes)
