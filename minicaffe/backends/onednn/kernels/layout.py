"""Copy and sum of tensors, in the layout of the first one."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._native_sum import NativeSum
from minicaffe.backends.onednn.kernels.eltwise import plan_sum
from minicaffe.backends.onednn.runtime.call import Call
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Tensor
from minicaffe.ops.layout import Add, Copy


@kernel(Copy)
class OneDnnCopy(OneDnnKernel[Copy]):
    """Copy of a tensor, in its layout if the shapes are equal."""

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        if x.shape == y.shape:
            y.copy_from(x)
        else:
            y.write()[...] = x.read().reshape(y.shape)


@kernel(Add)
class OneDnnAdd(OneDnnKernel[Add]):
    """Sum of several tensors."""

    def __init__(self, backend: OneDnnBackend, op: Add, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._n = len(tensors) - 1
        self._native = NativeSum(backend, backend.native) if backend.native else None
        self._sum = cache_method(self._plan_sum)

    def forward(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        """Overwrite y, when it is read."""
        if len(xs) == 1:
            if xs[0] is not y:
                y.defer(xs)
            return
        if y in xs:
            self._add(xs, y)
        else:
            # The kernel that reads y next may add the terms as it reads them.
            y.defer(xs, self._add)

    def _add(self, xs: Sequence[OneDnnTensor], y: OneDnnTensor) -> None:
        if self._native is not None:
            self._native.add(xs, y)
        else:
            self._sum(xs[0].layout)(*xs, y)

    def _plan_sum(self, layout: Layout) -> Call:
        return plan_sum(self.engine, layout, [1.0] * self._n)
