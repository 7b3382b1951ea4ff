"""Batch normalisation in the layout of x."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._batch_norm_primitives import BatchNormPrimitives
from minicaffe.backends.onednn.kernels._native_batch_norm import NativeBatchNorm
from minicaffe.backends.onednn.kernels._scaled_batch_norm import ScaledBatchNorm
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import Array, EpilogueOp, Tensor
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.scale import Scale


@kernel(BatchNorm)
class OneDnnBatchNorm(OneDnnKernel[BatchNorm]):
    """Normalise by the batch's statistics or by stored ones.

    Backward reads x. In place y overwrites it, so forward moves x to a tensor of the kernel first.
    """

    def __init__(self, backend: OneDnnBackend, op: BatchNorm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, mean = tensors[:2]
        channels = mean.shape[0]
        self._m = math.prod(x.shape) // max(channels, 1)
        self._mu = OneDnnTensor(backend.reorders, (channels,))
        self._var = OneDnnTensor(backend.reorders, (channels,))
        self._saved_x: OneDnnTensor | None = None
        if x is tensors[-1] and not op.use_stored:
            self._saved_x = OneDnnTensor(backend.reorders, x.shape)
        self._native: NativeBatchNorm | None = None
        if backend.native is not None and not op.use_stored:
            self._native = NativeBatchNorm(backend, backend.native, op, channels)
        # The C kernel, if it computed the last forward pass.
        self._used: NativeBatchNorm | None = None
        self._x: OneDnnTensor | None = None
        self._y: Any = tensors[-1]  # Any: a tensor of this backend, which `Tensor` does not express
        self._scaled: ScaledBatchNorm | None = None
        self._primitives = BatchNormPrimitives(
            self.engine, (channels,), op.eps, use_stored=op.use_stored
        )

    def forward(
        self,
        x: OneDnnTensor,
        mean: OneDnnTensor,
        variance: OneDnnTensor,
        weight: OneDnnTensor,
        y: OneDnnTensor,
    ) -> None:
        """Overwrite y; update the statistics."""
        self._layout = self._layout_of(x)
        if self.op.use_stored:
            total = float(weight.read()[0])
            share = 1 / total if total else 0.0
            self._mu.set(mean.read() * share)
            self._var.set(variance.read() * share)
            self._primitives.forward(self._layout)(x, self._mu, self._var, y)
            return
        if self._saved_x is not None:
            self._saved_x.move_from(x, self._layout)
            x = self._saved_x
        self._x, self._y = x, y
        self._used = self._native if self._is_native(self._layout) else None
        if self._used is not None:
            self._used.forward(self._layout, x, *self._fused(), y, (mean, variance))
            total = weight.update()
            total *= self.op.fraction
            total += 1
            return
        if self._scaled is not None:
            self._scaled.forward(x, y, self._mu, self._var)
        else:
            self._primitives.forward(self._layout)(x, y, self._mu, self._var)
        self._update_statistics(mean.update(), variance.update(), weight.update())

    def _layout_of(self, x: OneDnnTensor) -> Layout:
        """Return the layout to compute in, of bfloat16 if x is stored so and C code reads it."""
        stored, images = self.backend.native_layout(x), images_layout(x)
        return stored if stored.shape == images.shape and self._is_native(stored) else images

    def _is_native(self, layout: Layout) -> bool:
        return self._native is not None and self._native.suits(layout)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse Scale and ReLU of y, forward and backward."""
        self._scaled = None
        if self.op.use_stored or not epilogue:
            return 0
        op, shape = epilogue[0].op, self._mu.shape
        if not isinstance(op, Scale) or op.axis != 1 or epilogue[0].parameters()[0].shape != shape:
            return 0
        rectifies = starts_with_relu(epilogue[1:])
        self._scaled = ScaledBatchNorm(self.backend, self.op.eps, self._y, epilogue[0], rectifies)
        return 1 + rectifies

    def _fused(self) -> tuple[Sequence[OneDnnTensor], bool]:
        """Return the parameters of the fused Scale, and whether a ReLU is fused."""
        scaled = self._scaled
        return (scaled.parameters(), scaled.rectifies) if scaled else ((), False)

    def recompute_forward(self, y: OneDnnTensor) -> None:
        """Overwrite y again, from the saved x."""
        if self._x is not None and self._used is not None:
            self._used.forward(self._layout, self._x, *self._fused(), y)
        elif self._x is not None and self._scaled is not None:
            self._scaled.forward(self._x, y, self._mu, self._var)
        elif self._x is not None:
            self._primitives.forward(self._layout)(self._x, y, self._mu, self._var)

    def backward(self, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        if self._used is not None and self._x is not None:
            gradients = self._scaled.gradients() if self._scaled else ()
            self._used.backward(self._layout, self._x, dy, dx, gradients)
        elif self._scaled is not None and self._x is not None:
            self._scaled.backward(self._x, self._mu, self._var, dy, dx)
            if dy is not dx:
                self._scaled.write_output_gradient(self._y, dy)
        else:
            # The primitive requires x, although dx does not depend on it with stored statistics.
            x = dy if self._x is None else self._x
            self._primitives.backward(self._layout)(x, self._mu, self._var, dy, dx)

    def _update_statistics(self, mean: Array, variance: Array, weight: Array) -> None:
        var = self._var.read() * (self._m / max(self._m - 1, 1))
        for total, value in ((weight, 1), (mean, self._mu.read()), (variance, var)):
            total *= self.op.fraction
            total += value
