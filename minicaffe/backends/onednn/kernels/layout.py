"""Copies and sums, in whatever layout the values have."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels.eltwise import plan_sum
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Tensor
from minicaffe.ops.layout import Add, Copy


@kernel(Copy)
class OneDnnCopy(OneDnnKernel):
    """Copy one tensor, with its layout if the shapes agree."""

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        if x.shape == y.shape:
            y.copy_from(x)
        else:
            y.write()[...] = x.read().reshape(y.shape)


@kernel(Add)
class OneDnnAdd(OneDnnKernel):
    """Add several tensors in the layout of the first."""

    def __init__(self, backend: OneDnnBackend, op: Add, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        ones, engine = [1.0] * (len(tensors) - 1), backend.engine
        self._sum = functools.cache(lambda layout: plan_sum(engine, layout, ones))

    def forward(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        """Overwrite y."""
        if len(xs) == 1:
            if xs[0] is not y:
                y.copy_from(xs[0])
            return
        self._sum(xs[0].layout)(*xs, y)
