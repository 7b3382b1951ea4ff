"""Local response normalisation.

C kernels compute windows of channels in blocked layouts (`_blocked_lrn`). For the rest oneDNN has
compiled code for some windows, layouts and processors; for others its loops in C++ are slower than
NumPy by a factor of 20 (measured on AVX2, backward), so `LrnByImage` computes those.
"""

from __future__ import annotations

from minicaffe.backends.method_cache import cache_method
from minicaffe.backends.onednn.backend import OneDnnBackend, OneDnnKernel, kernel
from minicaffe.backends.onednn.kernels._blocked_lrn import BlockedLrn, plan_blocked_lrn
from minicaffe.backends.onednn.kernels._compiled_lrn import CompiledLrn
from minicaffe.backends.onednn.kernels._lrn_by_image import LrnByImage
from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Tensor
from minicaffe.ops.lrn import Lrn


@kernel(Lrn)
class OneDnnLrn(OneDnnKernel[Lrn]):
    """Across channels or within one, in the layout of x; with compiled code if there is some."""

    def __init__(self, backend: OneDnnBackend, op: Lrn, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        self._by_image = LrnByImage(backend, op, tensors[0].shape)
        self._blocked = cache_method(self._plan_blocked)
        self._compiled = cache_method(self._plan)

    def forward(self, x: OneDnnTensor, y: OneDnnTensor) -> None:
        """Overwrite y."""
        self._layout = self.backend.native_layout(x)
        blocked = self._blocked(self._layout)
        if blocked is not None:
            blocked.forward(x, y)
            return
        self._layout = x.layout
        compiled = self._compiled(self._layout)
        if compiled.computes_forward:
            compiled.forward(x, y)
        else:
            self._by_image.forward(x, y)

    def backward(self, x: OneDnnTensor, dy: OneDnnTensor, dx: OneDnnTensor) -> None:
        """Overwrite dx."""
        blocked = self._blocked(self._layout)
        if blocked is not None:
            blocked.backward(x, dy, dx)
            return
        compiled = self._compiled(self._layout)
        if compiled.computes_backward:
            compiled.backward(x, dy, dx)
        else:
            self._by_image.backward(x, dy, dx)

    def _plan_blocked(self, layout: Layout) -> BlockedLrn | None:
        return plan_blocked_lrn(self.backend, self.op, layout)

    def _plan(self, layout: Layout) -> CompiledLrn:
        return CompiledLrn(self.backend, self.op, layout)
