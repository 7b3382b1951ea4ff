"""Batch normalisation in the layout of x."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._scaled_batch_norm import ScaledBatchNorm
from minicaffe.backends.onednn.runtime.images import images_layout
from minicaffe.backends.onednn.runtime.library import USE_GLOBAL_STATS, Arg, Prop
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.primitive import Call, Primitive
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import Array, EpilogueOp, Tensor
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.scale import Scale


@kernel(BatchNorm)
class OneDnnBatchNorm(OneDnnKernel):
    """Normalise by the batch's statistics or by stored ones.

    Backward reads x. In place that is overwritten, so forward takes over its memory first.
    """

    def __init__(self, backend: OneDnnBackend, op: BatchNorm, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        x, mean = tensors[:2]
        channels = mean.shape[0]
        self._m = math.prod(x.shape) // max(channels, 1)
        self._mu = OneDnnTensor(backend.reorders, (channels,))
        self._var = OneDnnTensor(backend.reorders, (channels,))
        self._kept: OneDnnTensor | None = None
        if x is tensors[-1] and not op.use_stored:
            self._kept = OneDnnTensor(backend.reorders, x.shape)
        self._x: OneDnnTensor | None = None
        self._y: Any = tensors[-1]
        self._flags = USE_GLOBAL_STATS if op.use_stored else 0
        self._scaling: ScaledBatchNorm | None = None
        self._forward = cache_method(self._plan_forward)
        self._backward = cache_method(self._plan_backward)

    def forward(
        self,
        x: OneDnnTensor,
        mean: OneDnnTensor,
        variance: OneDnnTensor,
        weight: OneDnnTensor,
        y: OneDnnTensor,
    ) -> None:
        """Overwrite y; update the statistics."""
        self._layout = images_layout(x)
        if self.op.use_stored:
            total = float(weight.read()[0])
            share = 1 / total if total else 0.0
            self._mu.set(mean.read() * share)
            self._var.set(variance.read() * share)
            self._forward(self._layout)(x, self._mu, self._var, y)
            return
        if self._kept is not None:
            self._kept.take_from(x, self._layout)
            x = self._kept
        self._x, self._y = x, y
        if self._scaling is not None:
            self._scaling.forward(x, y, self._mu, self._var)
        else:
            self._forward(self._layout)(x, y, self._mu, self._var)
        self._remember(mean.update(), variance.update(), weight.update())

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Scale and rectify y in the same pass, forward and backward."""
        self._scaling = None
        if self.op.use_stored or not epilogue:
            return 0
        op, shape = epilogue[0].op, self._mu.shape
        if not isinstance(op, Scale) or op.axis != 1 or epilogue[0].parameters()[0].shape != shape:
            return 0
        rectifies = starts_with_relu(epilogue[1:])
        self._scaling = ScaledBatchNorm(self.backend, self.op.eps, self._y, epilogue[0], rectifies)
        return 1 + rectifies

    def recompute_forward(self, y: OneDnnTensor) -> None:
        """Overwrite y again, from x as it was kept."""
        if self._x is not None:
            self._forward(self._layout)(self._x, y, self._mu, self._var)

    def backward(self, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        if self._scaling is not None and self._x is not None:
            self._scaling.backward(self._x, self._mu, self._var, dy, dx)
            if dy is not dx:
                self._scaling.leave_gradient(self._y, dy)
            return
        # With stored statistics dx does not depend on x, which the primitive asks for all the same.
        x = dy if self._x is None else self._x
        self._backward(self._layout)(x, self._mu, self._var, dy, dx)

    def _remember(self, mean: Array, variance: Array, weight: Array) -> None:
        var = self._var.read() * (self._m / max(self._m - 1, 1))
        for total, value in ((weight, 1), (mean, self._mu.read()), (variance, var)):
            total *= self.op.fraction
            total += value

    def _plan_forward(self, layout: Layout) -> Call:
        given = (Prop.TRAINING, layout, layout, self.op.eps, self._flags)
        primitive = Primitive(self.engine, "batch_normalization_forward", *given)
        x, y = (Arg.SRC, layout), (Arg.DST, layout)
        statistics = self._statistics()
        if self.op.use_stored:
            return Call(primitive, [x, *statistics], [y])
        return Call(primitive, [x], [y, *statistics])

    def _plan_backward(self, layout: Layout) -> Call:
        hint = self._forward(layout).primitive
        given = (Prop.BACKWARD_DATA, layout, layout, layout, self.op.eps, self._flags)
        primitive = Primitive(self.engine, "batch_normalization_backward", *given, hint=hint)
        reads = [(Arg.SRC, layout), *self._statistics(), (Arg.DIFF_DST, layout)]
        return Call(primitive, reads, [(Arg.DIFF_SRC, layout)])

    def _statistics(self) -> list[tuple[int, Layout]]:
        layout = Layout.plain(self._mu.shape)
        return [(Arg.MEAN, layout), (Arg.VARIANCE, layout)]
