"""Permutation of axes by reorder primitives, from and to the layouts of other kernels."""

from __future__ import annotations

from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.runtime.memory import Layout, MemoryCursor, c_strides
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Tensor
from minicaffe.ops.permute import Permute


@kernel(Permute)
class OneDnnPermute(OneDnnKernel[Permute]):
    """Copy between x, in its layout if `sizes` are those of its axes, and y in C order.

    The values of y in C order are a layout of x with other strides.
    """

    def __init__(self, backend: OneDnnBackend, op: Permute, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._is_whole = op.sizes == tensors[0].shape
        self._x = self._plain = Layout.plain(op.sizes)
        strides = [0] * len(op.sizes)
        permuted = c_strides(tuple(op.sizes[axis] for axis in op.order))
        for axis, stride in zip(op.order, permuted, strict=True):
            strides[axis] = stride
        self._y = MemoryCursor(self.engine.handle, Layout.strided(op.sizes, tuple(strides)))

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._x = x.layout if self._is_whole else self._plain
        source = x.source(self._x)
        self._y.move(y.address_to_write())
        self.backend.reorders(self._x, source, self._y.layout, self._y.handle)

    def backward(self, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx, in the layout of x."""
        self._y.move(dy.address())
        self.backend.reorders(self._y.layout, self._y.handle, self._x, dx.target(self._x))
        dx.write_back()
